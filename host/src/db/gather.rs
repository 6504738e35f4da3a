use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Mutex, Notify, mpsc, oneshot};

/// Writes many items at once.
pub trait Commit: Send + Sync + 'static {
    type Item: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// One answer an item, in their order.
    fn commit(&self, items: &[Self::Item]) -> impl Future<Output = Vec<Self::Answer>> + Send;
}

#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Most items of one commit.
    pub batch: usize,
    /// Commits under way at once.
    pub in_flight: usize,
    /// A commit begins beside another one only with this many items: one of a few costs about as much as one of many.
    pub beside: usize,
    /// Items that wait for a commit; beyond it `put` is refused.
    pub waiting: usize,
}

/// Group commit. There is no timer: a batch is what queued up while the last commit ran. Cheap to clone.
pub struct Gather<C: Commit> {
    queue: mpsc::Sender<Pending<C>>,
}

impl<C: Commit> Clone for Gather<C> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

/// An item and whoever waits for it.
struct Pending<C: Commit> {
    item: C::Item,
    answer: oneshot::Sender<C::Answer>,
}

/// As many items wait as may.
#[derive(Debug)]
pub struct Full;

impl<C: Commit> Gather<C> {
    pub fn start(commit: Arc<C>, sizes: Sizes) -> Self {
        let (queue, waiting) = mpsc::channel(sizes.waiting);
        let waiting = Arc::new(Mutex::new(waiting));
        let turns = Arc::new(Turns { under_way: AtomicUsize::new(0), ended: Notify::new() });
        for _ in 0..sizes.in_flight {
            tokio::spawn(run(Arc::clone(&commit), sizes, Arc::clone(&turns), Arc::clone(&waiting)));
        }
        Self { queue }
    }

    /// Whoever drops what is returned before a commit has taken the item takes the item back. It fails only when the host
    /// ends, or a commit panicked.
    pub fn put(&self, item: C::Item) -> Result<oneshot::Receiver<C::Answer>, Full> {
        let (answer, result) = oneshot::channel();
        self.queue.try_send(Pending { item, answer }).map_err(|_| Full)?;
        Ok(result)
    }
}

/// Who commits.
struct Turns {
    under_way: AtomicUsize,
    ended: Notify,
}

/// One of `under_way`, also where its commit panics.
struct UnderWay<'a>(&'a Turns);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.notify_one();
    }
}

async fn run<C: Commit>(
    commit: Arc<C>,
    sizes: Sizes,
    turns: Arc<Turns>,
    waiting: Arc<Mutex<mpsc::Receiver<Pending<C>>>>,
) {
    let mut batch = Vec::with_capacity(sizes.batch);
    loop {
        let Some(under_way) = gather(sizes, &turns, &mut *waiting.lock().await, &mut batch).await else { return };
        // Who was told to come again while it waited must not come twice.
        batch.retain(|pending: &Pending<C>| !pending.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        let (items, answers): (Vec<_>, Vec<_>) = batch.drain(..).map(|pending| (pending.item, pending.answer)).unzip();
        let results = commit.commit(&items).await;
        drop(under_way);
        for (answer, result) in answers.into_iter().zip(results) {
            // What is written is written, though nobody waits for it any more.
            let _ = answer.send(result);
        }
    }
}

/// What waits, at least one; more of it while another commit is under way. `None`: the host ends.
async fn gather<'a, C: Commit>(
    sizes: Sizes,
    turns: &'a Turns,
    queue: &mut mpsc::Receiver<Pending<C>>,
    batch: &mut Vec<Pending<C>>,
) -> Option<UnderWay<'a>> {
    let mut open = queue.recv_many(batch, sizes.batch).await > 0;
    while open && batch.len() < sizes.beside && turns.under_way.load(Ordering::Relaxed) > 0 {
        let room = sizes.batch - batch.len();
        tokio::select! {
            more = queue.recv_many(batch, room) => open = more > 0,
            () = turns.ended.notified() => {}
        }
    }
    turns.under_way.fetch_add(1, Ordering::Relaxed);
    let under_way = UnderWay(turns);
    (!batch.is_empty()).then_some(under_way)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Lock;

    use tokio::sync::Semaphore;

    use super::*;

    /// Keeps what it was given, once somebody lets it.
    struct Keeps {
        batches: Lock<Vec<Vec<u32>>>,
        go: Semaphore,
    }

    impl Commit for Keeps {
        type Item = u32;
        type Answer = u32;

        async fn commit(&self, items: &[u32]) -> Vec<u32> {
            self.go.acquire().await.expect("open").forget();
            self.batches.lock().expect("lock").push(items.to_vec());
            items.iter().map(|n| n * 10).collect()
        }
    }

    const SIZES: Sizes = Sizes { batch: 4, in_flight: 2, beside: 3, waiting: 8 };

    #[tokio::test]
    async fn what_queues_up_behind_a_commit_goes_together_and_each_has_its_own_answer() {
        let keeps = Arc::new(Keeps { batches: Lock::default(), go: Semaphore::new(0) });
        let gather = Gather::start(Arc::clone(&keeps), SIZES);
        let first = gather.put(1).expect("room");
        tokio::task::yield_now().await;
        let more: Vec<_> = (2..=3).map(|n| gather.put(n).expect("room")).collect();
        tokio::task::yield_now().await;
        keeps.go.add_permits(9);
        assert_eq!(first.await, Ok(10));
        for (n, answer) in (2..=3).zip(more) {
            assert_eq!(answer.await, Ok(n * 10));
        }
        assert_eq!(*keeps.batches.lock().expect("lock"), [vec![1], vec![2, 3]]);
    }

    #[tokio::test]
    async fn who_gave_up_is_left_out_and_a_full_queue_refuses() {
        let keeps = Arc::new(Keeps { batches: Lock::default(), go: Semaphore::new(0) });
        let gather = Gather::start(Arc::clone(&keeps), Sizes { in_flight: 1, waiting: 2, ..SIZES });
        let first = gather.put(1).expect("room");
        // Taken by the committer, which waits for its permit.
        while gather.queue.capacity() < 2 {
            tokio::task::yield_now().await;
        }
        drop(gather.put(2).expect("room"));
        let third = gather.put(3).expect("room");
        assert!(gather.put(4).is_err());
        keeps.go.add_permits(9);
        assert_eq!((first.await, third.await), (Ok(10), Ok(30)));
        assert_eq!(*keeps.batches.lock().expect("lock"), [vec![1], vec![3]]);
    }
}
