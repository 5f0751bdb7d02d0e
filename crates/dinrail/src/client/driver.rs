//! The task behind a client: reads when nobody else does, sends what waits, keeps the one timer, and reconnects.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tracing::{debug, info};

use super::core::{Core, Link, Pump, Shared};
use super::io::Io;
use super::{Backoff, Options};
use crate::proto::Instant;
use crate::timer::Timer;
use crate::transport::{Burst, Connect};

/// A connection that ends sooner, and over which nothing has come, was refused in fact.
const BRIEF: Duration = Duration::from_secs(1);

/// Whatever ends the driver, the runtime's end among it, ends the calls too.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let mut core = self.0.lock();
        if !matches!(core.link, Link::Gone) {
            core.close();
        }
    }
}

/// Drives a client that can connect again.
pub(super) async fn run<C: Connect>(shared: Arc<Shared>, connector: C, options: Options) {
    let guard = CloseOnDrop(shared);
    let shared = &*guard.0;
    let mut first = !matches!(shared.lock().link, Link::Up(_));
    let mut timer = if connector.is_real_time() { Timer::exact() } else { Timer::coarse() };
    // Brief connections in a row over which nothing has come: a peer that accepts and closes is not worth a storm.
    let mut useless = 0u32;
    loop {
        if first {
            // A lazy client connects when it is first used.
            if while_down(shared, &mut timer, poll_fn(|_| used(shared))).await.is_none() {
                return;
            }
        } else {
            let since = tokio::time::Instant::now();
            drive(shared, &mut timer).await;
            // One that nobody has used for a while and that the peer then closes is as good as any. And where nothing is
            // sent to connect, the next one costs the peer nothing before it is used. Nor was one refused that has been given
            // up here: a gateway is silent for units that it lacks, and the next call may be for one that it has.
            let useful = {
                let core = shared.lock();
                since.elapsed() >= BRIEF
                    || connector.burst() == Burst::EachRead
                    || core.has_heard()
                    || core.has_given_up()
            };
            useless = if useful { 0 } else { useless.saturating_add(1) };
        }
        let backoff = match (first, options.reconnect) {
            (_, Some(backoff)) => backoff,
            (true, None) => Backoff::default(),
            (false, None) => return give_up(shared),
        };
        let lost = (!first).then_some(useless);
        if !connect(shared, &mut timer, &connector, &options, backoff, lost).await {
            return;
        }
        first = false;
    }
}

/// Drives a client over a stream that cannot be made again.
pub(super) async fn run_once(shared: Arc<Shared>) {
    let guard = CloseOnDrop(shared);
    let mut timer = Timer::coarse();
    drive(&guard.0, &mut timer).await;
    give_up(&guard.0);
}

fn give_up(shared: &Shared) {
    let mut core = shared.lock();
    if !matches!(core.link, Link::Closed) {
        core.link = Link::Gone;
        core.refuse();
    }
}

/// Ready when a call waits for a connection.
fn used(shared: &Shared) -> Poll<()> {
    if shared.lock().connection.is_idle() { Poll::Pending } else { Poll::Ready(()) }
}

/// The shortest time between a try to connect and the next, which a call has asked for.
const HASTE: Duration = Duration::from_secs(1);

/// Connects, after a wait when a connection was `lost` (the longer, the more useless ones there were before it), and
/// again until it works. A call that comes while it waits cuts the wait short. `false` when the client was closed.
async fn connect<C: Connect>(
    shared: &Shared,
    timer: &mut Timer,
    connector: &C,
    options: &Options,
    backoff: Backoff,
    lost: Option<u32>,
) -> bool {
    // The first useless connection is an ordinary loss.
    let mut tries = lost.unwrap_or(0).saturating_sub(1);
    let lost = lost.is_some();
    let mut wait = backoff.wait(tries);
    if lost {
        let failure = shared.lock().failure.clone();
        let why = failure.as_deref().map(tracing::field::display);
        info!(peer = %shared.peer, error = why, "the connection was lost; connecting again in {wait:?}");
    }
    loop {
        if lost || tries > 0 {
            let pause = pause(shared, backoff.wait(tries), HASTE.max(backoff.min));
            if while_down(shared, timer, pause).await.is_none() {
                return false;
            }
        }
        match while_down(shared, timer, attempt(connector, options)).await {
            None => return false,
            Some(Ok(stream)) => {
                let mut core = shared.lock();
                if matches!(core.link, Link::Closed) {
                    return false;
                }
                core.install(Io::new(stream));
                core.reconnects += u64::from(lost);
                return true;
            }
            Some(Err(error)) => {
                tries += 1;
                wait = backoff.wait(tries);
                debug!(peer = %shared.peer, %error, "cannot connect; trying again in {wait:?}");
                let mut core = shared.lock();
                core.failure = Some(Arc::new(error));
                core.refuse();
            }
        }
    }
}

/// Waits, until a call needs a connection at most: then no longer than `haste`.
async fn pause(shared: &Shared, wait: Duration, haste: Duration) {
    let needed = async {
        tokio::time::sleep(haste).await;
        poll_fn(|_| used(shared)).await;
    };
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = needed, if wait > haste => {}
    }
}

/// Tries once to connect.
pub(super) async fn attempt<C: Connect>(connector: &C, options: &Options) -> std::io::Result<C::Stream> {
    connector.connect_within(options.connect_timeout).await
}

/// Waits for `done` while there is no connection, and meanwhile ends the calls that have waited for one long enough.
/// `None` when the client was closed.
async fn while_down<F: Future>(shared: &Shared, timer: &mut Timer, done: F) -> Option<F::Output> {
    let mut done = pin!(done);
    poll_fn(|cx| {
        {
            let mut core = shared.lock();
            core.driver.clone_from(cx.waker());
            core.driver_woken = false;
            core.armed = None;
            if matches!(core.link, Link::Closed) {
                return Poll::Ready(None);
            }
        }
        if let Poll::Ready(output) = done.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        loop {
            let mut core = shared.lock();
            let now = core.now();
            let Some(at) = core.refuse_impatient(now) else { return Poll::Pending };
            timer.reset(core.moment(at));
            drop(core);
            if timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// What is to happen next with a connection.
enum Next {
    /// It has ended.
    End,
    /// Something was due at this time.
    Look(Instant),
}

/// Drives a connection until it has ended.
///
/// A process that did not run for a while finds replies that came meanwhile and deadlines that have passed. Sockets are
/// only known to have something once the runtime has asked the system, and it does that before it comes back to a task
/// that has yielded. So nothing is given up that was not looked for after its time.
async fn drive(shared: &Shared, timer: &mut Timer) {
    let mut looked = None;
    while let Next::Look(due) = poll_fn(|cx| poll_up(shared, cx, timer, looked.take())).await {
        tokio::task::yield_now().await;
        looked = Some(due);
    }
}

/// Drives a connection. What was due at `looked` may be given up.
fn poll_up(shared: &Shared, cx: &mut Context<'_>, timer: &mut Timer, mut looked: Option<Instant>) -> Poll<Next> {
    let mut core = shared.lock();
    core.driver.clone_from(cx.waker());
    core.driver_woken = false;
    loop {
        if !matches!(core.link, Link::Up(_)) {
            return Poll::Ready(Next::End);
        }
        let polled = poll_once(&mut core, cx, looked.take());
        core.wake_callers();
        match polled {
            Ok(None) => {}
            Ok(Some(due)) => return Poll::Ready(Next::Look(due)),
            Err(failure) => {
                let now = core.now();
                core.lose(failure, now);
                return Poll::Ready(Next::End);
            }
        }
        // Only ever set to an earlier time, or when it has fired: not once a call.
        let next = core.next_deadline().filter(|at| core.armed.is_none_or(|armed| armed > *at));
        let Some(at) = next else { return Poll::Pending };
        core.armed = Some(at);
        timer.reset(core.moment(at));
        if timer.poll(cx).is_pending() {
            return Poll::Pending;
        }
    }
}

/// Says when it is if something is due that has to be looked for once more.
fn poll_once(
    core: &mut Core,
    cx: &mut Context<'_>,
    looked: Option<Instant>,
) -> Result<Option<Instant>, Option<std::io::Error>> {
    let now = core.now();
    if core.armed.is_some_and(|at| at <= now) {
        core.armed = None;
    }
    core.tick(now);
    let is_due = |core: &Core| core.next_deadline().is_some_and(|at| at <= now);
    let due = is_due(core);
    let elsewhere = match core.pump {
        Pump::Driver => false,
        Pump::Caller(_) => true,
        // Another call may come any moment.
        Pump::Nobody => core.pace.next().is_some(),
    };
    if elsewhere && !due {
        return Ok(None);
    }
    core.pump = Pump::Driver;
    // Before calls are given up: their replies may be in the stream already.
    core.pump(cx, now, None)?;
    if due {
        if looked.is_none() && is_due(core) {
            return Ok(Some(now));
        }
        core.handle_timeout(looked.unwrap_or(now))?;
        core.pump(cx, now, None)?;
    }
    Ok(None)
}
