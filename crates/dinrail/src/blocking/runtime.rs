//! The thread that watches connections, and waiting for a future without a runtime of one's own.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Builder, Handle};

use crate::Error;

static RUNTIME: OnceLock<Handle> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// The process's runtime; starts its thread when there is none yet.
pub(super) fn handle() -> Result<&'static Handle, Error> {
    if let Some(handle) = RUNTIME.get() {
        return Ok(handle);
    }
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = RUNTIME.get() {
        return Ok(handle);
    }
    let handle = start()?;
    Ok(RUNTIME.get_or_init(|| handle))
}

fn start() -> Result<Handle, Error> {
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name("dinrail-blocking".into()).spawn(move || {
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = tell.send(Ok(runtime.handle().clone()));
                runtime.block_on(std::future::pending::<()>());
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        }
    })?;
    let built = told.recv().map_err(|_| std::io::Error::other("the thread dinrail-blocking ended at once"))?;
    Ok(built?)
}

/// Waits for a future in this thread, which parks meanwhile. Unlike tokio's `block_on` it may be used inside of a
/// runtime.
pub(super) fn wait<F: Future>(handle: &Handle, future: F) -> F::Output {
    thread_local! {
        static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
    }
    // Sockets and timers register with the process's runtime, whatever runtime this thread belongs to.
    let _inside = handle.enter();
    let mut future = pin!(future);
    WAKER.with(|waker| {
        let mut context = Context::from_waker(waker);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
