//! Amounts for people.

/// Digits after the point, as Stripe counts (<https://docs.stripe.com/currencies>): what a mail says must be what is charged. ISK and
/// UGX have no smaller unit, and two digits all the same. The SDK's `Money` has the digits of ISO 4217, which differ for those two and
/// for MGA; an order's amounts are Stripe's.
fn digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "VND" | "VUV" | "XAF"
        | "XOF" | "XPF" => 0,
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// `amount` in minor units as `12.50 EUR`.
pub fn written(amount: u64, currency: &str) -> String {
    let digits = digits(currency);
    if digits == 0 {
        return format!("{amount} {currency}");
    }
    let unit = 10_u64.pow(digits);
    format!("{}.{:0width$} {currency}", amount / unit, amount % unit, width = digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_stands_where_the_currency_has_it() {
        assert_eq!(written(1250, "EUR"), "12.50 EUR");
        assert_eq!(written(5, "USD"), "0.05 USD");
        assert_eq!(written(1250, "JPY"), "1250 JPY");
        assert_eq!(written(1250, "KWD"), "1.250 KWD");
        assert_eq!(written(50000, "UGX"), "500.00 UGX");
    }
}
