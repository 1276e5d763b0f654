//! Runs one kind of work by a number of clients, a thread and a connection each, and says how fast it went.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::histogram::Histogram;
use crate::http::Connection;

/// What a client does over and over. One step is one operation of the scenario, however many requests that takes.
pub(crate) trait Work: Send {
    /// Does it once and returns the bytes of bodies that went either way.
    fn step(&mut self, connection: &mut Connection) -> Result<u64>;
}

/// When a round ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After a time; steps under way then are finished and counted.
    Time(Duration),
    /// After so many steps of each client.
    Steps(u64),
}

/// What came of a round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    pub(crate) steps: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) latencies: Histogram,
}

impl Round {
    /// Steps per second.
    pub(crate) fn rate(&self) -> f64 {
        self.steps as f64 / self.seconds
    }
}

/// Runs a round. The first failure of any client fails it.
pub(crate) fn round(address: SocketAddr, until: Until, works: Vec<Box<dyn Work>>) -> Result<Round> {
    let barrier = Barrier::new(works.len());
    let results = std::thread::scope(|scope| {
        let clients: Vec<_> =
            works.into_iter().map(|work| scope.spawn(|| client(address, until, work, &barrier))).collect();
        clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
            .collect::<Vec<Result<Part>>>()
    });
    let mut sum = Round::default();
    let mut span: Option<(Instant, Instant)> = None;
    for result in results {
        let part = result?;
        sum.steps += part.latencies.total();
        sum.bytes += part.bytes;
        sum.latencies.merge(&part.latencies);
        let (start, end) = span.unwrap_or((part.start, part.end));
        span = Some((start.min(part.start), end.max(part.end)));
    }
    if let Some((start, end)) = span {
        sum.seconds = (end - start).as_secs_f64();
    }
    Ok(sum)
}

struct Part {
    bytes: u64,
    latencies: Histogram,
    start: Instant,
    end: Instant,
}

fn client(address: SocketAddr, until: Until, mut work: Box<dyn Work>, barrier: &Barrier) -> Result<Part> {
    // A client that cannot begin must still come to the barrier, or the others wait for ever.
    let ready = Connection::open(address).and_then(|mut connection| {
        if let Until::Time(_) = until {
            work.step(&mut connection)?;
        }
        Ok(connection)
    });
    barrier.wait();
    let mut connection = ready?;
    let start = Instant::now();
    let mut part = Part { bytes: 0, latencies: Histogram::default(), start, end: start };
    loop {
        let begun = part.end;
        part.bytes += work.step(&mut connection)?;
        part.end = Instant::now();
        part.latencies.add(part.end - begun);
        let ended = match until {
            Until::Time(time) => part.end - start >= time,
            Until::Steps(steps) => part.latencies.total() >= steps,
        };
        if ended {
            return Ok(part);
        }
    }
}
