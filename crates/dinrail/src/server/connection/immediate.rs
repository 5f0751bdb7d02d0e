//! The way through for as long as the service answers at once: one poll takes bytes to replies.

use std::any::Any;
use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::task::coop::consume_budget;
use tokio::time::Sleep;

use super::ask::{Asker, completion, finish_frame};
use super::{End, HEADER, Left, Line, MAX_FRAME};
use crate::proto::adu::{self, Decoded};
use crate::server::metrics::LineError;
use crate::server::scratch::{Scratch, Stopped};
use crate::service::Service;
use crate::transport::Stream;

/// Serves a connection until it ends, or until a request is not answered at once.
pub(super) async fn serve<S: Service>(line: &mut Line<impl Stream>, service: &S) -> Left {
    let mut progress = Progress::default();
    poll_fn(|cx| progress.poll(cx, line, service)).await
}

/// What a connection holds between polls; nothing, as a rule.
#[derive(Default)]
pub(in crate::server) struct Progress {
    /// The beginning of a frame whose rest has not come yet.
    kept: Option<Box<[u8]>>,
    /// Replies that the peer has not read yet, and the requests behind them.
    batch: Option<Box<Scratch>>,
    /// The peer has asked too often.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Progress {
    /// Goes on as far as the stream allows.
    pub(in crate::server) fn poll<S: Service>(
        &mut self,
        cx: &mut Context<'_>,
        line: &mut Line<impl Stream>,
        service: &S,
    ) -> Poll<Left> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let left = ready!(self.poll_batches(cx, line, service));
            if let Some(left) = left {
                return Poll::Ready(left);
            }
        }
    }

    /// Batch after batch; `None` when it is time for a pause.
    #[inline]
    fn poll_batches<S: Service>(
        &mut self,
        cx: &mut Context<'_>,
        line: &mut Line<impl Stream>,
        service: &S,
    ) -> Poll<Option<Left>> {
        let mut batch = self.batch.take().unwrap_or_else(Scratch::take);
        loop {
            if !batch.is_begun() {
                batch = match ready!(line.poll_fill(cx, batch, self.kept.as_deref().unwrap_or_default())) {
                    Ok(batch) => batch,
                    Err(end) => return Poll::Ready(Some(Left::Ended(end))),
                };
                self.kept = None;
                spend(cx, batch.rest().len());
                if !line.known.entry.begin(line.known.shared.coarse_now()) {
                    return Poll::Ready(Some(Left::Ended(End::Stop)));
                }
            }
            match batch.poll(cx, line, service) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Some(Left::Slow(batch))),
                Poll::Ready(Err(end)) => return Poll::Ready(Some(Left::Ended(end))),
                Poll::Pending => {
                    self.batch = Some(batch);
                    return Poll::Pending;
                }
            }
            let rest = batch.rest();
            if !rest.is_empty() {
                self.kept = Some(rest.into());
            }
            let requests = batch.requests;
            line.known.shared.count(requests, batch.exceptions);
            batch.begin(0);
            if !line.known.entry.end() {
                return Poll::Ready(Some(Left::Ended(End::Stop)));
            }
            if let Some(rate) = &line.known.entry.rate {
                let wait = rate.take(requests, line.known.shared.now());
                if !wait.is_zero() {
                    batch.give_back();
                    self.pause = Some(Box::pin(tokio::time::sleep(wait)));
                    return Poll::Ready(None);
                }
            }
        }
    }
}

/// Bytes that cost a task of a runtime as much of its turn as one read.
const WORTH: usize = 512;

/// Takes what bytes are worth off the turn that the runtime gives: it counts reads, and one may bring a thousand requests.
/// Outside of a runtime's task there is nothing to take.
#[inline]
fn spend(cx: &mut Context<'_>, bytes: usize) {
    for _ in 0..bytes / WORTH {
        if pin!(consume_budget()).poll(cx).is_pending() {
            // The next read says so as well.
            return;
        }
    }
}

impl Scratch {
    /// Answers every whole request and sends the replies; `false` when one is not answered at once.
    fn poll<S: Service>(
        &mut self,
        cx: &mut Context<'_>,
        line: &mut Line<impl Stream>,
        service: &S,
    ) -> Poll<Result<bool, End>> {
        loop {
            let stopped = match self.stopped {
                // The peer did not read just now. Nothing is asked or told twice for that.
                Some(stopped) => stopped,
                // Once for the whole batch, since it is not free; a panic is answered, and the batch goes on behind it.
                None => match catch_unwind(AssertUnwindSafe(|| self.answer_batch(line, service))) {
                    Ok(stopped) => {
                        if line.known.shared.is_watched() {
                            self.tell_answered(line, stopped);
                        }
                        stopped
                    }
                    Err(panic) => {
                        self.answer_panic(line, service, &*panic);
                        continue;
                    }
                },
            };
            if self.end > 0 {
                self.stopped = Some(stopped);
                ready!(line.poll_send(cx, &self.output[..self.end], &mut self.sent))?;
                (self.sent, self.end, self.stopped) = (0, 0, None);
            }
            match stopped {
                Stopped::NoRoom => {}
                Stopped::Incomplete => return Poll::Ready(Ok(true)),
                Stopped::Slow => return Poll::Ready(Ok(false)),
                Stopped::Unframeable(length) => {
                    line.known.shared.count(self.requests, self.exceptions);
                    return Poll::Ready(Err(End::Unframeable(length)));
                }
            }
        }
    }

    /// Answers requests for as long as there are whole ones, and room for replies.
    #[inline]
    fn answer_batch<S: Service>(&mut self, line: &Line<impl Stream>, service: &S) -> Stopped {
        let shared = &line.known.shared;
        if !shared.diagnoses() && !shared.is_watched() {
            return self.answer::<S, _, false>(line, service);
        }
        let stopped = self.answer::<S, _, true>(line, service);
        if shared.diagnoses() {
            shared.diagnostics.take(&mut self.tally);
        }
        stopped
    }

    /// As [`answer_batch`](Self::answer_batch). A server that has no diagnostics, and that nobody watches, does nothing for
    /// either.
    #[inline]
    fn answer<S: Service, T: Stream, const ATTENDED: bool>(&mut self, line: &Line<T>, service: &S) -> Stopped {
        let asker = Asker { service, shared: &line.known.shared, peer: line.known.entry.peer(), broadcast: false };
        let mut rest = &self.input[self.used..self.filled];
        let mut room = &mut self.output[self.end..];
        // Slices that get shorter, and a frame whose length the compiler knows, need the fewest checks.
        while let Some(frame) = room.first_chunk_mut::<MAX_FRAME>() {
            let (adu, length) = match adu::decode_mbap(rest) {
                Decoded::Frame { adu, length } => (adu, length),
                Decoded::Skip { length, .. } => {
                    line.known.shared.count_line_error(LineError::Protocol);
                    self.used += length;
                    rest = &rest[length..];
                    continue;
                }
                Decoded::Incomplete => return Stopped::Incomplete,
                Decoded::Unframeable { length } => return Stopped::Unframeable(length),
            };
            let finished = if ATTENDED {
                asker.answer_attended(&adu, frame, &mut self.tally)
            } else {
                asker.answer_now(&adu, frame)
            };
            let Some(finished) = finished else {
                return Stopped::Slow;
            };
            if let Some(length) = finished {
                self.exceptions += u64::from(frame[HEADER] >> 7);
                self.end += length;
                room = &mut room[length..];
            }
            // At once: when the next one panics, this one has been answered.
            self.requests += 1;
            self.used += length;
            rest = &rest[length..];
        }
        Stopped::NoRoom
    }

    /// Tells of replies that are about to be sent, and counts how long they took.
    #[cold]
    fn tell_answered(&mut self, line: &Line<impl Stream>, stopped: Stopped) {
        let shared = &line.known.shared;
        if let Some((counts, came)) = shared.counts().zip(self.came) {
            let answered = self.requests.saturating_sub(self.timed);
            counts.took(answered, came.elapsed());
            self.timed = self.requests;
        }
        if !matches!(stopped, Stopped::NoRoom) {
            // What comes next may come while nobody counts, and be answered when somebody does.
            self.came = None;
        }
        if self.end > 0 {
            shared.tell_sending(line.known.entry.peer(), &self.output[..self.end]);
        }
    }

    /// Answers the request that the service panicked at: the one at the front of the rest.
    #[cold]
    fn answer_panic<S: Service>(&mut self, line: &Line<impl Stream>, service: &S, panic: &(dyn Any + Send)) {
        let asker = Asker { service, shared: &line.known.shared, peer: line.known.entry.peer(), broadcast: false };
        if let Decoded::Frame { adu, length } = adu::decode_mbap(&self.input[self.used..self.filled]) {
            let frame = &mut self.output[self.end..self.end + MAX_FRAME];
            let reply = asker.panicked(adu.unit, adu.pdu, panic);
            if line.known.shared.diagnoses() {
                self.tally.received();
                self.tally.completed(adu.pdu[0], completion(&reply, &frame[HEADER..]));
            }
            asker.count(adu.pdu[0], completion(&reply, &frame[HEADER..]));
            self.end += finish_frame(reply, &adu, frame).unwrap_or(0);
            self.exceptions += 1;
            self.requests += 1;
            self.used += length;
        }
    }
}
