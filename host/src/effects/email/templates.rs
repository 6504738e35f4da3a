use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, syntax::SyntaxConfig, value::Serde,
};

use crate::effects::stripe::decimals;

/// The product's mails: name, subject, text, HTML.
const TEMPLATES: [(&str, &str, &str, &str); 4] = [
    (
        "payment-confirmation",
        "Your payment of {{ total | money(currency) }} for {{ eventName }}",
        include_str!("templates/payment-confirmation.txt"),
        include_str!("templates/payment-confirmation.html"),
    ),
    (
        "refund-confirmation",
        "Your refund of {{ amount | money(currency) }}",
        include_str!("templates/refund-confirmation.txt"),
        include_str!("templates/refund-confirmation.html"),
    ),
    (
        "nft-ticket-minted",
        "Your ticket for {{ eventName }} is minted",
        include_str!("templates/nft-ticket-minted.txt"),
        include_str!("templates/nft-ticket-minted.html"),
    ),
    (
        "admin-alert",
        "[{{ severity }}] {{ title }}",
        include_str!("templates/admin-alert.txt"),
        include_str!("templates/admin-alert.html"),
    ),
];

/// Templates that the host owns. A field that is missing is an error, never an empty place in a mail.
pub(super) struct Templates(Environment<'static>);

pub(super) struct Filled {
    pub subject: String,
    pub text: String,
    pub html: String,
}

impl Templates {
    pub fn new() -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_auto_escape_callback(
            |name| {
                if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
            },
        );
        environment.add_filter("money", money);
        for (name, subject, text, html) in TEMPLATES {
            environment.add_template_owned(format!("{name}.subject"), subject)?;
            environment.add_template_owned(format!("{name}.txt"), text)?;
            environment.add_template_owned(format!("{name}.html"), html)?;
        }
        Ok(Self(environment))
    }

    /// `data`: a JSON object.
    pub fn fill(&self, name: &str, data: &str) -> Result<Filled, String> {
        if !TEMPLATES.iter().any(|(known, ..)| *known == name) {
            let known: Vec<_> = TEMPLATES.iter().map(|(known, ..)| *known).collect();
            return Err(format!("there is no template \"{name}\"; there are {}", known.join(", ")));
        }
        let data: serde_json::Value = serde_json::from_str(data).map_err(|e| format!("data is not JSON: {e}"))?;
        if !data.is_object() {
            return Err("data is not a JSON object".to_owned());
        }
        let data = Value::from(Serde(&data));
        let part = |part: &str| {
            self.0
                .get_template(&format!("{name}.{part}"))
                .and_then(|template| template.render(&data))
                .map_err(|e| told(name, &e))
        };
        Ok(Filled { subject: part("subject")?, text: part("txt")?, html: part("html")? })
    }
}

/// Names what is missing, never what is there: a mail's data is somebody's.
fn told(name: &str, error: &Error) -> String {
    match error.kind() {
        ErrorKind::UndefinedError => {
            let line = error.line().map(|line| format!(" (template line {line})")).unwrap_or_default();
            let field = error.template_source().zip(error.range()).and_then(|(source, range)| source.get(range));
            format!(
                "template \"{name}\": a field is missing: {}{line}",
                field.unwrap_or("see the template's fields").trim()
            )
        }
        _ => format!("template \"{name}\": {}", error.detail().unwrap_or("its data does not fit")),
    }
}

/// `12345 | money("eur")` is `123.45 EUR`: an amount as Stripe counts it, so that a receipt shows what was charged.
fn money(amount: i64, currency: &str) -> Result<String, Error> {
    let currency = currency.to_ascii_uppercase();
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(Error::new(ErrorKind::InvalidOperation, "currency is no ISO 4217 code"));
    }
    let sign = if amount < 0 { "-" } else { "" };
    let amount = amount.unsigned_abs();
    let digits = decimals(&currency);
    if digits == 0 {
        return Ok(format!("{sign}{amount} {currency}"));
    }
    let unit = 10_u64.pow(digits);
    Ok(format!("{sign}{}.{:0width$} {currency}", amount / unit, amount % unit, width = digits as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_follow_their_currency() {
        for (amount, currency, shown) in [
            (12345, "eur", "123.45 EUR"),
            (5, "USD", "0.05 USD"),
            (500, "JPY", "500 JPY"),
            (1234, "KWD", "1.234 KWD"),
            (-250, "GBP", "-2.50 GBP"),
            (50_000, "UGX", "500.00 UGX"),
        ] {
            assert_eq!(money(amount, currency).expect("a currency"), shown);
        }
        assert!(money(1, "euro").is_err());
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_there_is_not_repeated() {
        let templates = Templates::new().expect("sound");
        let error = templates.fill("refund-confirmation", r#"{"name":"secret-name"}"#).err().expect("missing");
        assert!(error.contains("amount") && !error.contains("secret-name"), "{error}");
        assert!(templates.fill("birthday", "{}").err().expect("unknown").contains("payment-confirmation"));
        assert!(templates.fill("admin-alert", "[]").is_err());
    }
}
