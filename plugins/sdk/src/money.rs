//! Amounts of money: whole minor units of a currency, and arithmetic that says so when it cannot be done.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A currency by its three letters (ISO 4217). Which of them a provider takes is the provider's to say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// An amount in a currency's minor unit: `1250` `EUR` is 12.50 €, `1250` `JPY` is ¥1250. As JSON it is
/// `{"amount": 1250, "currency": "EUR"}`; an amount with a fraction is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    #[serde(rename = "amount")]
    minor: u64,
    currency: Currency,
}

/// Why an amount is none. `?` makes it a permanent failure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MoneyError {
    /// Not three letters.
    NoCurrency(String),
    /// Two currencies in one sum.
    Mixed(Currency, Currency),
    /// More than 2^64 − 1 minor units.
    TooMuch,
    /// It would be less than nothing.
    Negative,
    /// Shares among nobody.
    NoShares,
    /// Not a whole number of the units that the provider counts in.
    Uneven(Currency),
}

impl Currency {
    /// The digits after the point (ISO 4217). A provider may count otherwise: see [`crate::stripe::Payment::of`].
    pub fn digits(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
            | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }

    /// Upper case.
    pub fn as_str(&self) -> &str {
        // Letters of ASCII are UTF-8.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    /// In any case: providers differ.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_alphabetic) => {
                Ok(Self(letters.map(|c| c.to_ascii_uppercase())))
            }
            _ => Err(MoneyError::NoCurrency(text.chars().take(16).collect())),
        }
    }
}

impl Money {
    /// `minor`: cents, where the currency has them.
    pub fn new(minor: u64, currency: &str) -> Result<Self, MoneyError> {
        Ok(Self { minor, currency: currency.parse()? })
    }

    /// In the currency's smallest unit.
    pub fn minor(self) -> u64 {
        self.minor
    }

    pub fn currency(self) -> Currency {
        self.currency
    }

    pub fn is_zero(self) -> bool {
        self.minor == 0
    }

    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        self.with(self.minor.checked_add(other.minor).ok_or(MoneyError::TooMuch)?)
    }

    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        self.with(self.minor.checked_sub(other.minor).ok_or(MoneyError::Negative)?)
    }

    pub fn times(self, n: u64) -> Result<Self, MoneyError> {
        self.with(self.minor.checked_mul(n).ok_or(MoneyError::TooMuch)?)
    }

    /// Hundredths of a percent of it, rounded down to a whole minor unit: a fee of 2.9 % is `basis_points(290)`.
    pub fn basis_points(self, n: u32) -> Result<Self, MoneyError> {
        let minor = u128::from(self.minor) * u128::from(n) / 10_000;
        self.with(u64::try_from(minor).map_err(|_| MoneyError::TooMuch)?)
    }

    /// So many shares that are equal but for one minor unit, the larger first; together they are all of it.
    pub fn split(self, shares: u32) -> Result<Vec<Self>, MoneyError> {
        let n = u64::from(shares);
        let (each, rest) = match n {
            0 => return Err(MoneyError::NoShares),
            n => (self.minor / n, self.minor % n),
        };
        (0..n).map(|share| self.with(each + u64::from(share < rest))).collect()
    }

    fn with(self, minor: u64) -> Result<Self, MoneyError> {
        Ok(Self { minor, ..self })
    }

    fn same(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency { Ok(()) } else { Err(MoneyError::Mixed(self.currency, other.currency)) }
    }
}

/// `12.50 EUR`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minor, currency } = self;
        match currency.digits() {
            0 => write!(f, "{minor} {currency}"),
            digits => {
                let unit = 10_u64.pow(digits);
                write!(f, "{}.{:0width$} {currency}", minor / unit, minor % unit, width = digits as usize)
            }
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCurrency(text) => write!(f, "\"{text}\" is no currency of three letters"),
            Self::Mixed(a, b) => write!(f, "{a} and {b} do not add up"),
            Self::TooMuch => f.write_str("the amount is too large"),
            Self::Negative => f.write_str("the amount would be less than nothing"),
            Self::NoShares => f.write_str("nobody is there to share it"),
            Self::Uneven(currency) => write!(f, "it has a part of {currency} that the provider does not count"),
        }
    }
}

impl std::error::Error for MoneyError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn eur(minor: u64) -> Money {
        Money::new(minor, "EUR").expect("euros")
    }

    #[test]
    fn arithmetic_says_when_it_cannot_be_done() {
        assert_eq!(eur(1).plus(eur(2)), Ok(eur(3)));
        assert_eq!(eur(1).minus(eur(2)), Err(MoneyError::Negative));
        assert_eq!(eur(u64::MAX).plus(eur(1)), Err(MoneyError::TooMuch));
        assert_eq!(eur(u64::MAX).times(2), Err(MoneyError::TooMuch));
        let usd = Money::new(1, "usd").expect("dollars");
        assert_eq!(eur(1).plus(usd).expect_err("mixed").to_string(), "EUR and USD do not add up");
        for wrong in ["", "EU", "EURO", "E1R", "€"] {
            assert!(Money::new(1, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_minor_unit_is_made_or_lost() {
        assert_eq!(eur(100).split(3), Ok(vec![eur(34), eur(33), eur(33)]));
        assert_eq!(eur(2).split(3), Ok(vec![eur(1), eur(1), eur(0)]));
        assert_eq!(eur(1).split(0), Err(MoneyError::NoShares));
        assert_eq!(eur(1250).basis_points(290), Ok(eur(36)));
        assert_eq!(eur(u64::MAX).basis_points(10_000), Ok(eur(u64::MAX)));
        assert_eq!(eur(u64::MAX).basis_points(10_001), Err(MoneyError::TooMuch));
    }

    #[test]
    fn as_json_it_has_no_fraction() {
        let money: Money = serde_json::from_str(r#"{"amount": 1250, "currency": "eur"}"#).expect("money");
        assert_eq!(money, eur(1250));
        assert_eq!(serde_json::to_string(&money).expect("JSON"), r#"{"amount":1250,"currency":"EUR"}"#);
        for wrong in [r#"{"amount": 12.5, "currency": "EUR"}"#, r#"{"amount": -1, "currency": "EUR"}"#] {
            assert!(serde_json::from_str::<Money>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_point_stands_where_the_currency_has_it() {
        let written = |minor, currency| Money::new(minor, currency).expect("money").to_string();
        assert_eq!(written(1250, "EUR"), "12.50 EUR");
        assert_eq!(written(5, "USD"), "0.05 USD");
        assert_eq!(written(1250, "JPY"), "1250 JPY");
        assert_eq!(written(1250, "KWD"), "1.250 KWD");
    }
}
