//! What an amount means: Stripe counts in a currency's smallest unit, which is not always a hundredth
//! (<https://docs.stripe.com/currencies>).

/// Without a smaller unit: 500 JPY are `500`.
const ZERO_DECIMAL: [&str; 15] =
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"];
/// Three decimals, of which the last must be 0.
const THREE_DECIMAL: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];
/// Without a smaller unit, and yet written with two decimals, which must be 0.
const WHOLE: [&str; 2] = ["isk", "ugx"];
/// Paid out in whole units only.
const WHOLE_PAYOUT: [&str; 2] = ["huf", "twd"];

/// Most digits that Stripe takes.
const MAX: u64 = 99_999_999;
/// Its exception.
const MAX_IDR: u64 = 999_999_999_999;

/// How many decimals an amount is written with.
pub(in crate::effects) fn decimals(currency: &str) -> u32 {
    match currency.to_ascii_lowercase().as_str() {
        c if ZERO_DECIMAL.contains(&c) => 0,
        c if THREE_DECIMAL.contains(&c) => 3,
        _ => 2,
    }
}

/// The amount as Stripe takes it.
pub(super) fn amount(amount: u64, currency: &str, is_payout: bool) -> Result<(), String> {
    let most = if currency == "idr" { MAX_IDR } else { MAX };
    if amount == 0 {
        return Err("amount: must be more than 0".to_owned());
    }
    if amount > most {
        return Err(format!("amount: at most {most} in {currency}, in its smallest unit"));
    }
    let unit = match currency {
        c if ZERO_DECIMAL.contains(&c) => 1,
        c if THREE_DECIMAL.contains(&c) => 10,
        c if WHOLE.contains(&c) || is_payout && WHOLE_PAYOUT.contains(&c) => 100,
        _ => 1,
    };
    if !amount.is_multiple_of(unit) {
        return Err(format!("amount: must be a multiple of {unit} in {currency}"));
    }
    Ok(())
}

/// In small letters, if Stripe knows it.
pub(super) fn code(currency: &str) -> Result<String, String> {
    let code = currency.to_ascii_lowercase();
    // The library's list lacks those of three decimals.
    let known = THREE_DECIMAL.contains(&code.as_str())
        || code.len() == 3
            && matches!(code.parse::<stripe_types::Currency>(), Ok(known) if !matches!(known, stripe_types::Currency::Unknown(_)));
    if known { Ok(code) } else { Err("currency: is none that Stripe knows, such as \"eur\"".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_whole_in_the_currencys_own_unit() {
        for (sum, currency, payout, good) in [
            (1, "usd", false, true),
            (0, "usd", false, false),
            (99_999_999, "usd", false, true),
            (100_000_000, "usd", false, false),
            (u64::MAX, "usd", false, false),
            (100_000_000, "idr", false, true),
            (500, "jpy", false, true),
            (501, "jpy", false, true),
            (1_230, "kwd", false, true),
            (1_234, "kwd", false, false),
            (500, "ugx", false, true),
            (550, "ugx", false, false),
            (550, "huf", false, true),
            (550, "huf", true, false),
        ] {
            assert_eq!(amount(sum, currency, payout).is_ok(), good, "{sum} {currency} {payout}");
        }
    }

    #[test]
    fn a_currency_is_one_that_stripe_knows() {
        assert_eq!(code("EUR").as_deref(), Ok("eur"));
        for bad in ["", "e", "euro", "xxx", "usd\n", "€"] {
            assert!(code(bad).is_err(), "{bad:?}");
        }
    }
}
