//! The clients of a measurement: threads with a loop each, which share the connections among them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dinrail::client::Options;
use dinrail::proto::Pdu;
use dinrail::transport::Endpoint;
use dinrail::{Client, Error};
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
        let threads = self.threads.min(self.connections);
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
            let result = result.clone();
            std::thread::Builder::new().name(format!("bench {thread}")).spawn(move || {
                let tally = worker.tally.clone();
                let done = block_on(worker.run(share)).map(|()| lock(&tally).clone());
                let _ = result.send(done); // nobody listens when the measurement was given up
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
        let Ok(Phase::Until(end)) = self.phase.wait_for(|phase| *phase != Phase::Connecting).await.map(|phase| *phase)
        else {
            return Ok(());
        };
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
    while now < end && phase.has_changed().is_ok_and(|changed| !changed) {
        let sent = now;
        let outcome = client.call_pdu(&request).await;
        now = Instant::now();
        match outcome {
            Ok(_) => {
                lock(&tally).answered(now - sent);
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => lock(&tally).failed(error.to_string()),
        }
    }
}

/// A panic while counting is a defect, but no reason to lose the other counts.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
