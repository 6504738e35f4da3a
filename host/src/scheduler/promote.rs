use std::{sync::Arc, time::Duration};

use super::Scheduler;
use crate::queue::{
    self,
    store::{Freed, Poll},
};

/// Two looks into the tables are at least this far apart, however many jobs fall due.
const LEAST: Duration = Duration::from_millis(20);

/// Makes due and freed jobs ready. Sleeps until the next one is due, and never longer than the poll interval: the look
/// is also the safety net for news that got lost.
pub(super) async fn run(s: Arc<Scheduler>) {
    loop {
        let polled = async {
            let mut db = s.pool.write().await?;
            let queues: Vec<_> = s.queues.0.keys().cloned().collect();
            let poll = queue::store::poll(&mut db, &s.bell.cursors().all(&queues), &s.registry.served()).await?;
            db.done().await.map(|()| poll)
        };
        let polled: sqlx::Result<Poll> = polled.await;
        let mut wait = s.cluster.poll;
        match polled {
            Ok(poll) => {
                // Other nodes poll for themselves.
                s.bell.found(&poll.ready);
                s.bell.cursors().note_head(poll.head);
                if poll.unchecked {
                    admit(&s).await;
                }
                if (poll.stand_in_line || poll.slots)
                    && let Err(error) = go_on(&s, &poll).await
                {
                    tracing::warn!(error = %error, "jobs that wait for their turn could not be looked after");
                }
                wait = poll.next_due.map_or(wait, |due| due.clamp(LEAST, wait));
            }
            Err(error) => tracing::warn!(error = %error, "the look for due jobs failed"),
        }
        let deadline = tokio::time::Instant::now() + wait;
        tokio::time::sleep(LEAST).await;
        let mut deadline = deadline;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => break,
                sooner = s.bell.timer() => deadline = deadline.min(tokio::time::Instant::now() + sooner),
                () = s.lifecycle.stopping() => return,
            }
        }
    }
}

/// Jobs that came in by SQL are checked, batch by batch, and go on.
async fn admit(s: &Scheduler) {
    loop {
        match s.submitter.admit(&s.pool).await {
            Ok(admitted) => {
                s.bell.ready(&admitted.ready);
                s.bell.finished(&admitted.finished);
                s.bell.over(&admitted.over);
                // What is for later has its own time.
                s.bell.due_in(Duration::ZERO);
                if !admitted.more {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "jobs that came in by SQL could not be checked; they are looked at again");
                return;
            }
        }
    }
}

/// The safety net under limits and lines: what freed a slot or a turn let the next one go on in its own transaction.
async fn go_on(s: &Scheduler, poll: &Poll) -> sqlx::Result<()> {
    let mut tx = s.pool.begin().await?;
    let ready = if poll.stand_in_line {
        queue::store::stand_in_line(&mut tx, &s.registry.served()).await?
    } else {
        queue::store::go_on(&mut tx, &Freed { lines: Vec::new(), slots: true }).await?
    };
    tx.commit().await?;
    s.bell.ready(&ready);
    Ok(())
}
