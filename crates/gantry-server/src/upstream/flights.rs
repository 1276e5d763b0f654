//! Answers that are kept for a while, and asked for once by many who wait.
//!
//! Whoever asks first has the question put, in a task of its own: that somebody hangs up changes nothing for the others. What is
//! kept has a cost, and the sum of all costs a bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What names a question.
pub(super) type Key = [u8; 32];

/// What came of a question.
pub(super) struct Landed<V> {
    pub(super) value: V,
    /// How long it counts.
    pub(super) keep: Duration,
    /// What it costs to keep it: about as many bytes.
    pub(super) cost: usize,
}

/// Answers to questions.
pub(super) struct Flights<V> {
    board: Arc<Mutex<Board<V>>>,
    /// The highest sum of costs.
    most: usize,
    /// Questions under way at once.
    asking: usize,
}

struct Board<V> {
    slots: HashMap<Key, Slot<V>>,
    cost: usize,
    asking: usize,
}

enum Slot<V> {
    Known { value: V, asked: Instant, until: Instant, cost: usize },
    Asking(watch::Receiver<Option<V>>),
}

/// Too many questions are under way, or the one that was waited for broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowded;

/// What an answer costs beside its own size.
const SLOT: usize = 200;

impl<V: Clone + Send + Sync + 'static> Flights<V> {
    pub(super) fn new(most: usize, asking: usize) -> Self {
        let board = Board { slots: HashMap::new(), cost: 0, asking: 0 };
        Self { board: Arc::new(Mutex::new(board)), most, asking }
    }

    /// The answer that is kept, or what `ask` brings. Answers from before `since` do not count.
    pub(super) async fn get<F>(
        &self,
        key: Key,
        since: Option<Instant>,
        ask: impl FnOnce() -> F,
    ) -> Result<V, Crowded>
    where
        F: Future<Output = Landed<V>> + Send + 'static,
    {
        let mut landing = {
            let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            match board.slots.get(&key) {
                Some(Slot::Known { value, asked, until, .. })
                    if *until > Instant::now() && since.is_none_or(|since| *asked >= since) =>
                {
                    return Ok(value.clone());
                }
                // One that nobody answers any more broke off.
                Some(Slot::Asking(landing)) if landing.has_changed().is_ok() => landing.clone(),
                _ if board.asking >= self.asking => return Err(Crowded),
                _ => {
                    let (sender, landing) = watch::channel(None);
                    board.put(key, Slot::Asking(landing.clone()));
                    board.asking += 1;
                    let flight = Flight {
                        board: Arc::clone(&self.board),
                        key,
                        sender,
                        most: self.most,
                        asked: Instant::now(),
                        landed: false,
                    };
                    tokio::spawn(flight.fly(ask()));
                    landing
                }
            }
        };
        let landed = landing.wait_for(Option::is_some).await.map_err(|_| Crowded)?;
        landed.clone().ok_or(Crowded)
    }

    /// What is kept, without asking.
    #[cfg(test)]
    fn peek(&self, key: &Key) -> Option<V> {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        match board.slots.get(key)? {
            Slot::Known { value, until, .. } if *until > Instant::now() => Some(value.clone()),
            _ => None,
        }
    }

    /// Forgets an answer, unless it is being asked for.
    pub(super) fn forget(&self, key: &Key) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(board.slots.get(key), Some(Slot::Known { .. })) {
            board.take(key);
        }
    }
}

/// One question under way. However it ends, there is room for another one after it.
struct Flight<V> {
    board: Arc<Mutex<Board<V>>>,
    key: Key,
    sender: watch::Sender<Option<V>>,
    most: usize,
    asked: Instant,
    landed: bool,
}

impl<V: Clone> Flight<V> {
    async fn fly(mut self, asking: impl Future<Output = Landed<V>>) {
        let Landed { value, keep, cost } = asking.await;
        {
            let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            let (now, cost) = (Instant::now(), cost.saturating_add(SLOT));
            self.landed = true;
            board.take(&self.key);
            let until = now + keep;
            if !keep.is_zero() && board.make_room(cost, self.most, now) {
                board.put(self.key, Slot::Known { value: value.clone(), asked: self.asked, until, cost });
            }
        }
        self.sender.send_replace(Some(value));
    }
}

impl<V> Drop for Flight<V> {
    fn drop(&mut self) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.asking -= 1;
        if !self.landed {
            board.take(&self.key);
        }
    }
}

impl<V> Board<V> {
    fn put(&mut self, key: Key, slot: Slot<V>) {
        self.take(&key);
        if let Slot::Known { cost, .. } = &slot {
            self.cost += cost;
        }
        self.slots.insert(key, slot);
    }

    fn take(&mut self, key: &Key) {
        if let Some(Slot::Known { cost, .. }) = self.slots.remove(key) {
            self.cost -= cost;
        }
    }

    /// Drops what does not count any more, and then what counts least long, until there is room. False: there is none.
    fn make_room(&mut self, cost: usize, most: usize, now: Instant) -> bool {
        if cost > most {
            return false;
        }
        if self.cost + cost <= most {
            return true;
        }
        let mut ends: Vec<(Instant, Key)> = self
            .slots
            .iter()
            .filter_map(|(key, slot)| match slot {
                Slot::Known { until, .. } => Some((*until, *key)),
                Slot::Asking(_) => None,
            })
            .collect();
        ends.sort_unstable();
        // Some more than is needed, so that it is not done again for the next one.
        for (until, key) in ends {
            if until > now && self.cost + cost <= most - most / 8 {
                break;
            }
            self.take(&key);
        }
        self.cost + cost <= most
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn landed(value: usize, keep: Duration, cost: usize) -> Landed<usize> {
        Landed { value, keep, cost }
    }

    #[tokio::test]
    async fn many_who_wait_are_one_question_and_who_hangs_up_changes_nothing() {
        let flights = Arc::new(Flights::new(10_000, 4));
        let asked = Arc::new(AtomicUsize::new(0));
        let (open, gate) = watch::channel(false);
        let ask = |flights: Arc<Flights<usize>>| {
            let (asked, mut gate) = (Arc::clone(&asked), gate.clone());
            async move {
                let question = move || async move {
                    let number = asked.fetch_add(1, Ordering::SeqCst);
                    gate.wait_for(|open| *open).await.unwrap();
                    landed(number, LONG, 1)
                };
                flights.get([1; 32], None, question).await
            }
        };
        let first = tokio::spawn(ask(Arc::clone(&flights)));
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..32).map(|_| tokio::spawn(ask(Arc::clone(&flights)))).collect();
        first.abort();
        open.send_replace(true);
        for other in others {
            assert_eq!(other.await.unwrap(), Ok(0));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(flights.peek(&[1; 32]), Some(0));
        // Who wants a later answer than that gets one.
        assert_eq!(flights.get([1; 32], Some(Instant::now()), || async { landed(7, LONG, 1) }).await, Ok(7));
        flights.forget(&[1; 32]);
        assert_eq!(flights.peek(&[1; 32]), None);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_so_are_questions() {
        let flights = Flights::new(10 * (SLOT + 100), 2);
        for key in 0..100 {
            flights.get([key; 32], None, || async { landed(1, LONG, 100) }).await.unwrap();
            assert!(flights.board.lock().unwrap().cost <= flights.most);
        }
        assert!(flights.peek(&[99; 32]).is_some(), "the last one is there");
        flights.get([200; 32], None, || async { landed(1, LONG, usize::MAX) }).await.unwrap();
        flights.get([201; 32], None, || async { landed(1, Duration::ZERO, 1) }).await.unwrap();
        assert!(flights.peek(&[200; 32]).is_none() && flights.peek(&[201; 32]).is_none());

        let never = || std::future::pending::<Landed<usize>>();
        for key in [210, 211] {
            let waits =
                tokio::time::timeout(Duration::from_millis(1), flights.get([key; 32], None, never)).await;
            assert!(waits.is_err());
        }
        assert_eq!(flights.get([212; 32], None, never).await, Err(Crowded));
    }

    #[tokio::test]
    async fn a_question_that_breaks_off_is_asked_anew() {
        let flights = Flights::<usize>::new(10_000, 1);
        let broken = flights.get([1; 32], None, || async {
            // As a panic would end the task.
            tokio::task::spawn(std::future::pending::<()>()).abort();
            std::future::poll_fn(|_| -> std::task::Poll<Landed<usize>> { panic!("broke off") }).await
        });
        assert_eq!(broken.await, Err(Crowded));
        assert_eq!(flights.get([1; 32], None, || async { landed(2, LONG, 1) }).await, Ok(2));
    }
}
