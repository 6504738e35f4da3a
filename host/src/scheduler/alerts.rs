use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use super::{Scheduler, counts, store};
use crate::{
    alerts::{
        self, Rates, Verdict,
        store::{Owed, apply, look, owed, told},
    },
    config::{Rule, RuleKind, Severity},
    ids::Digest,
    queue::Ready,
    submit::Notice,
    webhooks::{self, Alerted, Event},
};

/// A node that does this duty is left to it for so many rounds after its last sign, and never for less than a second.
const LEASE: u32 = 3;
/// Alerts that one round tells of, in one mail: however many fire, there are no more mails than rounds.
const MOST: i64 = 50;
/// Of them, those that the mail spells out.
const SPELT: usize = 20;

/// Looks at what the rules are about, on one node, and tells of what fires. Where there is no rule, of what others raised; where
/// nobody has a mail from it either, not at all.
pub(super) async fn run(s: Arc<Scheduler>) {
    let rules = s.alerts.rules();
    if rules.is_empty() && s.alerts.mail.is_none() {
        return;
    }
    let mut rates = Rates::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(s.alerts.interval) => {}
            () = s.lifecycle.stopping() => return,
        }
        if let Err(error) = round(&s, &rules, &mut rates).await {
            tracing::warn!(error = %error, "the look for alerts failed; it is tried again");
        }
    }
}

async fn round(s: &Scheduler, rules: &[Rule], rates: &mut Rates) -> sqlx::Result<()> {
    let windows = rules.iter().filter(|rule| rule.kind == RuleKind::FailureRate).map(|rule| rule.window);
    let longest = windows.max();
    if longest.is_some() {
        // What ended here, and is otherwise written once a minute. Nothing where nothing did.
        counts::flush_finished(s).await?;
    }
    let mut db = s.pool.write().await?;
    let found = look(&mut db, s.node, lease(s), rules, &s.alerts.tenant()).await?;
    db.done().await?;
    let Some(found) = found else {
        rates.forget();
        return Ok(());
    };
    if let Some(longest) = longest {
        rates.note(Instant::now(), longest, &found.finished);
    }
    let verdict = alerts::judge(rules, &found, rates);
    if verdict.is_empty() && !found.owed {
        return Ok(());
    }
    write(s, rules, &verdict).await
}

fn lease(s: &Scheduler) -> Duration {
    (s.alerts.interval * LEASE).max(Duration::from_secs(1))
}

/// An alert and what tells of it are one transaction: whoever dies on the way has told nobody of nothing.
async fn write(s: &Scheduler, rules: &[Rule], verdict: &Verdict) -> sqlx::Result<()> {
    let mut tx = s.pool.begin_durable("SET LOCAL lock_timeout = '5s'").await?;
    // Its row is ours until the end, so that no two nodes write at once.
    if !store::lead(&mut tx, "alerts", s.node, lease(s)).await? {
        return Ok(());
    }
    apply(&mut tx, verdict).await?;
    let ready = tell(s, &mut tx, rules).await?;
    tx.commit().await?;
    for fired in &verdict.fires {
        tracing::warn!(alert.rule = fired.rule, alert.kind = fired.kind, "an alert fires");
    }
    s.bell.ready(&ready);
    Ok(())
}

/// Returns where mails are ready.
async fn tell(s: &Scheduler, db: &mut PgConnection, rules: &[Rule]) -> sqlx::Result<Vec<Ready>> {
    let all = owed(db, MOST).await?;
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let tenant = s.alerts.tenant();
    let events: Vec<_> = all.iter().map(|alert| event(&tenant, alert)).collect();
    webhooks::store::publish(db, &events).await?;
    let by_mail: Vec<_> = all.iter().filter(|alert| is_mailed(alert, rules)).collect();
    let ready = match by_mail.as_slice() {
        [] => Vec::new(),
        by_mail => s.submitter.notify(db, &notice(by_mail)).await?,
    };
    let pauses: Vec<_> = all
        .iter()
        .map(|alert| match &alert.rule {
            Some(name) => (alert.id, named(rules, name).map_or(Duration::ZERO, |rule| rule.repeat)),
            None => (alert.id, s.alerts.repeat),
        })
        .collect();
    told(db, &pauses).await?;
    Ok(ready)
}

fn named<'a>(rules: &'a [Rule], name: &str) -> Option<&'a Rule> {
    rules.iter().find(|rule| rule.name == name)
}

fn is_mailed(alert: &Owed, rules: &[Rule]) -> bool {
    let wanted = match &alert.rule {
        Some(name) => named(rules, name).is_none_or(|rule| rule.mail),
        None => alerts::is_mailed(&alert.kind, alert.told > 0),
    };
    wanted && alert.severity != Severity::Info.as_str()
}

fn event(tenant: &str, alert: &Owed) -> Event {
    Event::alerted(Alerted {
        tenant: tenant.to_owned(),
        alert: alert.id,
        told: alert.told,
        kind: alert.kind.clone(),
        subject: alert.subject.clone(),
        severity: alert.severity.clone(),
        message: alert.message.clone(),
        of_tenant: alert.tenant.clone(),
    })
}

/// One mail for all of them.
fn notice(all: &[&Owed]) -> Notice {
    let identity: Vec<_> = all.iter().map(|alert| format!("{}/{}", alert.id, alert.told)).collect();
    let is_critical = all.iter().any(|alert| alert.severity == Severity::Critical.as_str());
    let severity = if is_critical { Severity::Critical } else { Severity::Warning };
    let again = if all.iter().all(|alert| alert.told > 0) { ", still" } else { "" };
    let (title, message, details) = match all {
        [one] => {
            let tenant = one.tenant.iter().map(|tenant| ("Tenant".to_owned(), tenant.clone()));
            let details: Vec<_> = std::iter::once(("Alert".to_owned(), one.id.to_string())).chain(tenant).collect();
            (format!("{}: {}{again}", one.kind, one.subject), one.message.clone(), details)
        }
        all => {
            let line =
                |alert: &&Owed| (format!("{} {} {}", alert.severity, alert.kind, alert.subject), alert.message.clone());
            let mut details: Vec<_> = all.iter().take(SPELT).map(line).collect();
            if let Some(more) = all.len().checked_sub(SPELT).filter(|more| *more > 0) {
                details.push(("And".to_owned(), format!("{more} more")));
            }
            (format!("{} alerts{again}", all.len()), "GET /alerts?state=firing has them.".to_owned(), details)
        }
    };
    Notice {
        key: format!("alert-{}", Digest::of(identity.join(" ").as_bytes())),
        severity: severity.as_str(),
        // It becomes a subject, and holds names that others have given.
        title: title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        message,
        details,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::AlertId;

    fn alert(n: u128, severity: &str, told: i32) -> Owed {
        Owed {
            id: AlertId(Uuid::from_u128(n)),
            kind: "queue-depth".to_owned(),
            subject: format!("deep/queue/q{n}"),
            rule: Some("deep".to_owned()),
            tenant: None,
            severity: severity.to_owned(),
            message: format!("{n} jobs are ready."),
            told,
        }
    }

    #[test]
    fn a_mail_is_another_one_each_time_and_the_same_when_it_is_made_again() {
        let key = |n, told| notice(&[&alert(n, "warning", told)]).key;
        assert_eq!(key(1, 0), key(1, 0));
        assert_ne!(key(1, 0), key(1, 1));
        assert_ne!(key(1, 0), key(2, 0));
        assert!(notice(&[&alert(1, "warning", 1)]).title.ends_with(", still"));
    }

    #[test]
    fn a_storm_is_one_mail_with_its_first_lines() {
        let mut all: Vec<_> = (0..30).map(|n| alert(n, "warning", 0)).collect();
        all[29].severity = "critical".to_owned();
        let notice = notice(&all.iter().collect::<Vec<_>>());
        assert_eq!((notice.severity, notice.title.as_str()), ("critical", "30 alerts"));
        assert_eq!((notice.details.len(), notice.details[20].1.as_str()), (21, "10 more"));
    }
}
