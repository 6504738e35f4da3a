/// `anna@example.com` as the journal shows it: `a***@example.com`.
pub(super) fn address(address: &str) -> String {
    match address.split_once('@') {
        Some((local, domain)) => format!("{}***@{domain}", local.chars().next().unwrap_or('*')),
        None => "***".to_owned(),
    }
}
