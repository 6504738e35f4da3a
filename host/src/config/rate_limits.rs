use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor},
};

/// How often providers are called and jobs are submitted, by the name of a bucket. Changes at run time go before these.
#[derive(Clone, Debug, Serialize)]
pub struct RateLimits {
    /// A call that has to wait no longer than this waits in place; for longer its job is put off.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
    /// Beside it in the same section, each under its own name.
    #[serde(flatten)]
    pub buckets: BTreeMap<String, RateLimit>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { patience: Duration::from_millis(250), buckets: BTreeMap::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    pub rate: Rate,
    /// Calls at once, after a rest; left out, those of a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// The most of either number.
pub const MOST: u32 = 1_000_000;

impl RateLimit {
    pub fn burst(&self) -> u32 {
        self.burst.unwrap_or_else(|| self.rate.count.div_ceil(self.rate.per.seconds()).max(1))
    }

    /// What is wrong with it, by field.
    pub fn finding(&self) -> Option<(&'static str, String)> {
        match self.burst {
            Some(burst) if !(1..=MOST).contains(&burst) => Some(("burst", format!("must be 1 to {MOST}"))),
            _ => None,
        }
    }
}

/// A whole number of calls in a second, minute, hour or day: `100/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Per,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
    Day,
}

impl Per {
    const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    fn letter(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
            Self::Day => "d",
        }
    }
}

impl Rate {
    /// Calls a second.
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / f64::from(self.per.seconds())
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("a rate is a whole number from 1 to {MOST}, a slash and s, m, h or d: \"100/s\"");
        let (count, per) = text.split_once('/').ok_or_else(bad)?;
        let per = Per::ALL.into_iter().find(|known| known.letter() == per).ok_or_else(bad)?;
        // Neither a sign nor a leading zero, which `parse` would take.
        let is_plain = count.bytes().all(|b| b.is_ascii_digit()) && !count.starts_with('0');
        let count = count.parse().ok().filter(|n| is_plain && (1..=MOST).contains(n)).ok_or_else(bad)?;
        Ok(Self { count, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.letter())
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// By hand, since `flatten` would lose the place of an error.
impl<'de> Deserialize<'de> for RateLimits {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Section;

        impl<'de> Visitor<'de> for Section {
            type Value = RateLimits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("patience, and buckets with their limits")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RateLimits, A::Error> {
                let mut section = RateLimits::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "patience" {
                        section.patience = map.next_value::<humantime_serde::Serde<Duration>>()?.into_inner();
                    } else {
                        section.buckets.insert(name, map.next_value()?);
                    }
                }
                Ok(section)
            }
        }

        d.deserialize_map(Section)
    }
}

/// What calls are counted by. (Webhooks have bounds of their own: `webhooks.per_endpoint` and `webhooks.concurrency`.)
pub(super) const PROVIDERS: [&str; 6] = ["email", "push", "sms", "solana", "stripe", "upstream"];

/// The longest name of a bucket, in bytes.
const MAX_NAME: usize = 600;

/// Whether a bucket of this name can be: what is wrong with it, otherwise.
pub fn check_bucket(name: &str) -> Result<(), String> {
    let parts: Vec<_> = name.split('/').collect();
    if let ["submit", rest @ ..] = parts.as_slice() {
        return check_submits(name, rest);
    }
    let (provider, named) = match parts.as_slice() {
        ["provider", provider] => (*provider, None),
        ["provider" | "destination", provider, name] => (*provider, Some(*name)),
        ["tenant", tenant, "provider", provider] => (*provider, Some(*tenant)),
        _ => {
            return Err(
                "a bucket is provider/P, provider/P/PROFILE, destination/P/NAME, tenant/T/provider/P, submit/tenant/T or submit/caller/T/SUBJECT".to_owned()
            );
        }
    };
    if provider != "*" && !PROVIDERS.contains(&provider) {
        return Err(format!("there is no provider \"{provider}\"; there are {}", PROVIDERS.join(", ")));
    }
    if name.len() > MAX_NAME {
        return Err(format!("a name has at most {MAX_NAME} bytes"));
    }
    if named.is_some_and(|name| !is_encoded(name)) {
        return Err(NAMES.to_owned());
    }
    Ok(())
}

const NAMES: &str =
    "names are not empty, hold no control characters, and write / as %2F, % as %25, * as %2A; * alone is each";

/// Of submits: `submit/tenant/T`, and `submit/caller/T/SUBJECT`, where `-` stands for T of a caller without a tenant, or with several.
fn check_submits(name: &str, parts: &[&str]) -> Result<(), String> {
    let named = match parts {
        ["tenant", tenant] => [*tenant, "*"],
        ["caller", tenant, subject] => [*tenant, *subject],
        _ => return Err("a bucket of submits is submit/tenant/T or submit/caller/T/SUBJECT".to_owned()),
    };
    if name.len() > MAX_NAME {
        return Err(format!("a name has at most {MAX_NAME} bytes"));
    }
    if named.iter().all(|name| is_encoded(name)) { Ok(()) } else { Err(NAMES.to_owned()) }
}

fn is_encoded(name: &str) -> bool {
    let escaped =
        name.split('%').skip(1).all(|rest| ["2F", "25", "2A", "2D"].iter().any(|code| rest.starts_with(code)));
    name == "*" || (!name.is_empty() && !name.contains('*') && !name.contains(char::is_control) && escaped)
}
