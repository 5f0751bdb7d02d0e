//! Work for a device in order: what is submitted is done one after the other, and who submits too much has to wait.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

use super::Client;
use crate::Error;

/// A job: what it does with the client.
type Job = Box<dyn FnOnce(Client) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Does jobs one by one, in the order in which they were submitted, over one client. It holds as many as its capacity;
/// whoever submits more waits until there is room. Each submission is a future of its job's result, and a job is done
/// whether or not anybody waits for that.
///
/// ```no_run
/// # async fn example() -> Result<(), dinrail::Error> {
/// use dinrail::Client;
/// use dinrail::client::Queue;
///
/// let queue = Queue::new(Client::connect("plc").await?, 100); // clones submit to the same queue
/// let first = queue.submit(|plc| async move { plc.read_holding_registers(0, 10).await }).await?;
/// let second = queue.submit(|plc| async move { plc.write_register(20, 1).await }).await?;
/// println!("{:?}, {:?}", first.await?, second.await);
/// queue.close().await; // does what was submitted, then closes the connection
/// # Ok(()) }
/// ```
///
/// A job is any code that uses the client, several calls that belong together among it: nothing comes in between. When
/// the last handle is dropped, what was submitted is still done.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` once it is closed. Whoever waits for room holds a clone.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    /// Nothing is ever sent: its end is that of the worker.
    ended: watch::Receiver<()>,
}

impl Queue {
    /// A queue of at most `capacity` jobs (0 is taken for 1) that wait while one is being done.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(client: Client, capacity: usize) -> Self {
        let (jobs, work) = mpsc::channel(capacity.clamp(1, tokio::sync::Semaphore::MAX_PERMITS));
        let (end, ended) = watch::channel(());
        tokio::spawn(async move {
            work_off(client, work).await;
            drop(end);
        });
        Self { shared: Arc::new(Shared { jobs: Mutex::new(Some(jobs)), ended }) }
    }

    /// Submits a job. Waits while the queue is full, in line with others; dropping the call then submits nothing.
    ///
    /// # Errors
    /// [`Error::Closed`] when the queue is closed: nothing was submitted.
    pub async fn submit<T, F>(&self, job: impl FnOnce(Client) -> F + Send + 'static) -> Result<Submitted<T>, Error>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        let jobs = self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let jobs = jobs.ok_or(Error::Closed { sent: false })?;
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |client| {
            Box::pin(async move {
                // Nobody may wait for it any more.
                let _ = answer.send(job(client).await);
            })
        });
        jobs.send(job).await.map_err(|_| Error::Closed { sent: false })?;
        Ok(Submitted(result))
    }

    /// Takes no more jobs, for all clones, and waits until those that were submitted are done and the connection is
    /// closed, if this queue had the only handle on it. Dropping the call leaves it closing.
    pub async fn close(&self) {
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut ended = self.shared.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

async fn work_off(client: Client, mut work: mpsc::Receiver<Job>) {
    while let Some(job) = work.recv().await {
        let started = catch_unwind(AssertUnwindSafe(|| job(client.clone())));
        let done = match started {
            Ok(mut job) => {
                poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| job.as_mut().poll(cx))) {
                    Ok(polled) => polled.map(Ok),
                    Err(panic) => Poll::Ready(Err(panic)),
                })
                .await
            }
            Err(panic) => Err(panic),
        };
        if done.is_err() {
            error!(target: "dinrail::client", peer = client.peer(), "a job panicked; the queue goes on with the next");
        }
    }
}

/// The result of a job, as a future. Dropping it does not take the job back.
///
/// It ends with [`Error::Closed`] when the job panicked, or when the runtime went down: what the job has done by then is
/// unknown.
pub struct Submitted<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Future for Submitted<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).unwrap_or(Err(Error::Closed { sent: true })))
    }
}

impl<T> fmt::Debug for Submitted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Submitted(..)")
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Queue").field("room", &jobs.as_ref().map(mpsc::Sender::capacity)).finish_non_exhaustive()
    }
}
