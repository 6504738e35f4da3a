//! Amounts for people.

/// Digits after the point of the currencies that don't have two (ISO 4217).
fn digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
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
    }
}
