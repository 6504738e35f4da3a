//! Text messages, push notifications, and the credential of Google's services.

use super::{findings, jailed, upstream};
use crate::config::OnDoubt;

/// Profiles of both kinds, one key changed.
fn profiles(sms: &str, push: &str) -> String {
    format!(
        "[upstreams.u]\nbase_url = \"https://h\"\n[sms.profiles.a]\n{sms}\n[push.profiles.b]\n{push}\n\
         [plugins.policy.p]\nsms = [\"a\"]\npush = [\"b\"]\n\
         [rate_limits]\n\"provider/sms/a\" = {{ rate = \"1/s\" }}\n\"provider/push/b\" = {{ rate = \"1/s\" }}\n"
    )
}

const SMS: &str = "upstream = \"u\"\naccount = \"AC1\"\nfrom = \"+15550100\"";
const PUSH: &str = "upstream = \"u\"\nproject = \"p-1\"";

#[test]
fn profiles_of_texts_and_notifications_need_no_method_of_their_upstream() {
    jailed(&profiles(SMS, PUSH), |config| {
        let config = config.expect("sound");
        assert_eq!(config.sms.profiles["a"].on_doubt, OnDoubt::Resend);
        assert_eq!(config.push.profiles["b"].on_doubt, OnDoubt::Resend);
        assert!(config.upstreams["u"].methods.is_empty(), "no plugin calls it");
    });
    let text = findings("[upstreams.u]\nbase_url = \"https://h\"\n");
    assert!(text.contains("upstreams.u.methods: an upstream without methods"), "{text}");
}

#[test]
fn faults_of_profiles_of_texts_and_notifications_are_named() {
    for (from, to, said) in [
        ("upstream = \"u\"\nacc", "upstream = \"ghost\"\nacc", "sms.profiles.a.upstream: there is no upstreams.ghost"),
        ("account = \"AC1\"", "account = \"AC1/../x\"", "sms.profiles.a.account: "),
        ("account = \"AC1\"", "account = \"\"", "sms.profiles.a.account: "),
        ("from = \"+15550100\"", "from = \"+1555x100\"", "sms.profiles.a.from: "),
        ("from = \"+15550100\"", "from = \"TwelveLetters\"", "sms.profiles.a.from: "),
        ("from = \"+15550100\"", "", "sms.profiles.a: one of from and messaging_service"),
        ("from", "messaging_service = \"MG1\"\nfrom", "sms.profiles.a: one of from and messaging_service"),
        ("from = \"+15550100\"", "messaging_service = \"MG 1\"", "sms.profiles.a.messaging_service: "),
        ("account = \"AC1\"", "account = \"AC1\"\nadapter = \"carrot\"", "carrot"),
        ("project = \"p-1\"", "project = \"P/1\"", "push.profiles.b.project: "),
        ("upstream = \"u\"\npro", "upstream = \"ghost\"\npro", "push.profiles.b.upstream: there is no upstreams.ghost"),
        ("sms = [\"a\"]", "sms = [\"c\"]", "plugins.policy.p.sms: there is no sms.profiles.c"),
        ("push = [\"b\"]", "push = [\"c\"]", "plugins.policy.p.push: there is no push.profiles.c"),
        ("provider/sms/a", "provider/sms/c", "there is no sms.profiles.c"),
        ("provider/push/b", "destination/push/c", "there is no push.profiles.c"),
    ] {
        let good = profiles(SMS, PUSH);
        let toml = good.replacen(from, to, 1);
        assert_ne!(toml, good, "{from}");
        let text = findings(&toml);
        assert!(text.contains(said), "{to}: {text}");
    }
}

#[test]
fn a_service_account_stands_alone_and_goes_over_tls() {
    let file = "google = { service_account = { env = \"CANARY\" } }";
    for (more, said) in [
        (format!("{file}\nbearer = {{ env = \"CANARY\" }}"), "bearer, basic, signature and google exclude each other"),
        (file.to_owned(), "upstreams.u.google.service_account: is no key file"),
        (file.to_owned(), "upstreams.u.base_url: must be https with google"),
        ("google = { service_account = { env = \"CANARY\" }, scope = \"\" }".to_owned(), "upstreams.u.google.scope: "),
    ] {
        let text = findings(&upstream(&more));
        assert!(text.contains(said) && !text.contains("canary-4711"), "{more}: {text}");
    }
}
