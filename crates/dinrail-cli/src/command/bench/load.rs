//! The clients of a measurement: threads with a loop each, which share the connections among them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dinrail::client::Options;
use dinrail::proto::Pdu;
use dinrail::transport::Endpoint;
use dinrail::{Client, Error, blocking};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::report::Tally;
use crate::command::block_on;
use crate::failure::Failure;

/// What is asked, and by how many.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) connector: Endpoint,
    pub(super) options: Options,
    pub(super) request: Pdu,
    pub(super) connections: usize,
    pub(super) threads: usize,
    /// Whether each connection is a blocking client's, in a thread of its own.
    pub(super) blocking: bool,
}

/// How far the measurement is; the threads follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Until(Instant),
    Over,
}

/// Threads that are connected and wait for the start, or measure.
pub(super) struct Running {
    phase: watch::Sender<Phase>,
    counters: Vec<Arc<AtomicU64>>,
    results: mpsc::UnboundedReceiver<Result<Tally, Failure>>,
}

/// A thread's ends of the channels, and what it counts.
struct Worker {
    phase: watch::Receiver<Phase>,
    connected: mpsc::UnboundedSender<Result<(), Failure>>,
    answered: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
}

impl Load {
    /// Starts the threads and waits until each has its connections.
    pub(super) async fn connect(&self) -> Result<Running, Failure> {
        let threads = if self.blocking { self.connections } else { self.threads.min(self.connections) };
        let runtime = Handle::current();
        let phase = watch::Sender::new(Phase::Connecting);
        let (result, results) = mpsc::unbounded_channel();
        let (connected, mut all_connected) = mpsc::unbounded_channel();
        let mut counters = Vec::new();
        for thread in 0..threads {
            let share = Self { connections: self.share(thread, threads), ..self.clone() };
            let answered = Arc::new(AtomicU64::new(0));
            counters.push(answered.clone());
            let tally = Arc::new(Mutex::new(Tally::new()?));
            let worker = Worker { phase: phase.subscribe(), connected: connected.clone(), answered, tally };
            let (result, runtime) = (result.clone(), runtime.clone());
            std::thread::Builder::new().name(format!("bench {thread}")).spawn(move || {
                let tally = worker.tally.clone();
                let done =
                    if share.blocking { worker.run_blocking(&share, &runtime) } else { block_on(worker.run(share)) };
                let _ = result.send(done.map(|()| lock(&tally).clone())); // nobody listens when the measurement was given up
            })?;
        }
        for _ in 0..threads {
            all_connected.recv().await.unwrap_or(Ok(()))?;
        }
        Ok(Running { phase, counters, results })
    }

    /// How many of the connections are this thread's.
    fn share(&self, thread: usize, threads: usize) -> usize {
        self.connections / threads + usize::from(thread < self.connections % threads)
    }
}

impl Running {
    /// Everybody asks, until `end`.
    pub(super) fn start(&self, end: Instant) {
        self.phase.send_replace(Phase::Until(end));
    }

    /// Everybody stops once the requests are answered that have been sent.
    pub(super) fn stop(&self) {
        self.phase.send_replace(Phase::Over);
    }

    /// How many requests were answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    /// What all threads counted, once they have stopped.
    pub(super) async fn finish(mut self) -> Result<Tally, Failure> {
        let mut all = Tally::new()?;
        while let Some(tally) = self.results.recv().await {
            all.add(&tally?);
        }
        Ok(all)
    }
}

impl Worker {
    async fn run(mut self, load: Load) -> Result<(), Failure> {
        let clients = connect_all(&load).await;
        let told = clients.as_ref().map(drop).map_err(|error| Failure::of_read("bench", error));
        let _ = self.connected.send(told); // nobody listens when the measurement was given up
        let Ok(clients) = clients else { return Ok(()) };
        let Some(end) = self.start().await else { return Ok(()) };
        let mut askers = JoinSet::new();
        for client in &clients {
            for _ in 0..load.options.depth {
                let tally = self.tally.clone();
                askers.spawn(ask(client.clone(), load.request, end, self.phase.clone(), self.answered.clone(), tally));
            }
        }
        askers.join_all().await;
        Ok(())
    }

    /// The same with a blocking client. The command's `runtime` only says when to start.
    fn run_blocking(mut self, load: &Load, runtime: &Handle) -> Result<(), Failure> {
        let client = blocking::Client::connect_with(load.connector.clone(), load.options.clone());
        let told = client.as_ref().map(drop).map_err(|error| Failure::of_read("bench", error));
        let _ = self.connected.send(told); // nobody listens when the measurement was given up
        let Ok(client) = client else { return Ok(()) };
        let Some(end) = runtime.block_on(self.start()) else { return Ok(()) };
        let mut now = Instant::now();
        while is_on(now, end, &self.phase) {
            let sent = now;
            let outcome = client.call_pdu(&load.request);
            now = Instant::now();
            count(outcome, now - sent, &self.answered, &self.tally);
        }
        Ok(())
    }

    /// Waits for the start, and says when the end is; `None` when there is nothing to measure any more.
    async fn start(&mut self) -> Option<Instant> {
        match *self.phase.wait_for(|phase| *phase != Phase::Connecting).await.ok()? {
            Phase::Until(end) => Some(end),
            Phase::Connecting | Phase::Over => None,
        }
    }
}

async fn connect_all(load: &Load) -> Result<Vec<Client>, Error> {
    let mut clients = Vec::with_capacity(load.connections);
    for _ in 0..load.connections {
        clients.push(Client::connect_with(load.connector.clone(), load.options.clone()).await?);
    }
    Ok(clients)
}

/// Asks again and again, one request at a time.
async fn ask(
    client: Client,
    request: Pdu,
    end: Instant,
    phase: watch::Receiver<Phase>,
    answered: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
) {
    let mut now = Instant::now();
    while is_on(now, end, &phase) {
        let sent = now;
        let outcome = client.call_pdu(&request).await;
        now = Instant::now();
        count(outcome, now - sent, &answered, &tally);
    }
}

/// Whether one more is to be asked: until the end, and until told to stop.
fn is_on(now: Instant, end: Instant, phase: &watch::Receiver<Phase>) -> bool {
    now < end && phase.has_changed().is_ok_and(|changed| !changed)
}

fn count(outcome: Result<Option<Pdu>, Error>, latency: Duration, answered: &AtomicU64, tally: &Mutex<Tally>) {
    match outcome {
        Ok(_) => {
            lock(tally).answered(latency);
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => lock(tally).failed(error.to_string()),
    }
}

/// A panic while counting is a defect, but no reason to lose the other counts.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
