//! The way through for a service that takes its time: each request is a future of its own, as many at once as the
//! options allow, and the replies keep the order of the requests.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::Sleep;

use super::ask::{Asker, completion, completion_of, finish_frame};
use super::{End, HEADER, Line, MAX_FRAME};
use crate::proto::adu::{self, Decoded};
use crate::proto::server::Completion;
use crate::proto::{Adu, ExceptionCode, Pdu};
use crate::server::entry::Entry;
use crate::server::metrics::LineError;
use crate::server::scratch::Scratch;
use crate::server::shared::Shared;
use crate::service::{Reply, Service};
use crate::transport::Stream;

/// Serves a connection until it ends. Begins with the rest of `batch`, whose first request was not answered at once.
pub(super) async fn serve<S: Service>(line: &mut Line<impl Stream>, service: &Arc<S>, batch: Box<Scratch>) -> End {
    line.known.shared.count(batch.requests, batch.exceptions);
    let mut progress = Progress {
        bytes: batch.rest().to_vec(),
        came: Instant::now(),
        first_was_asked: true,
        unframeable: None,
        peer_closed: false,
        lost: None,
        exchanges: VecDeque::new(),
        replies: Vec::new(),
        sent: 0,
        sending: false,
        pause: None,
    };
    batch.give_back();
    poll_fn(|cx| progress.poll(cx, line, service)).await
}

/// What a connection holds between polls.
struct Progress {
    /// Bytes whose requests are not begun yet.
    bytes: Vec<u8>,
    /// When they came.
    came: Instant,
    /// Whether the first of those requests has been asked whether it is answered at once.
    first_was_asked: bool,
    /// A length field that cannot be: the connection ends after the replies to what came before it.
    unframeable: Option<u16>,
    /// The peer sends no more, but may still want its replies.
    peer_closed: bool,
    /// The peer is gone; what was begun for it is finished all the same.
    lost: Option<End>,
    /// Requests that are being worked on, and those answered behind one that is.
    exchanges: VecDeque<Exchange>,
    /// Replies that are ready; the first `sent` bytes of them are sent.
    replies: Vec<u8>,
    sent: usize,
    /// They are on their way: no others are put behind them while the peer does not read.
    sending: bool,
    /// The peer has asked too often.
    pause: Option<Pin<Box<Sleep>>>,
}

enum Exchange {
    Begun(Pin<Box<dyn Future<Output = Box<Frame>> + Send>>),
    Done(Box<Frame>),
}

/// A reply; empty when the client gets none.
struct Frame {
    bytes: [u8; MAX_FRAME],
    length: usize,
    /// The request's function, and when it came.
    function: u8,
    came: Instant,
}

impl Frame {
    fn completion(&self) -> Completion {
        completion_of(&self.bytes[HEADER..HEADER + 2], (self.length > 0).then_some(self.length))
    }
}

impl Progress {
    fn poll<S: Service>(&mut self, cx: &mut Context<'_>, line: &mut Line<impl Stream>, service: &Arc<S>) -> Poll<End> {
        loop {
            self.begin(line, service);
            self.work(cx, line);
            if self.lost.is_some() {
                self.replies.clear();
                return self.lost.take_if(|_| self.exchanges.is_empty()).map_or(Poll::Pending, Poll::Ready);
            }
            if !self.replies.is_empty() {
                if !std::mem::replace(&mut self.sending, true) {
                    line.tell_sending(&self.replies);
                }
                match ready!(line.poll_send(cx, &self.replies, &mut self.sent)) {
                    Ok(()) => {}
                    Err(end) => self.lost = Some(end),
                }
                self.replies.clear();
                (self.sent, self.sending) = (0, false);
                if self.lost.is_some() {
                    // At work, and not waiting for the peer any more.
                    line.known.entry.sent();
                    continue;
                }
                // What became ready meanwhile is next; nothing else would wake this for it.
                if let Some(Exchange::Done(_)) = self.exchanges.front() {
                    continue;
                }
            }
            if self.exchanges.is_empty() {
                if let Some(length) = self.unframeable {
                    return Poll::Ready(End::Unframeable(length));
                }
                if self.peer_closed {
                    return Poll::Ready(End::Closed(self.bytes.len()));
                }
                // Idle only when nothing is left to begin: what is begun below must not be cut off.
                let goes_on =
                    if self.has_whole_request() { !line.known.entry.is_ending() } else { line.known.entry.rest() };
                if !goes_on {
                    return Poll::Ready(End::Stop);
                }
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            if self.exchanges.len() >= line.known.shared.options.concurrency {
                return Poll::Pending;
            }
            if self.has_whole_request() {
                continue;
            }
            if self.unframeable.is_some() || self.peer_closed || line.known.entry.is_ending() {
                return Poll::Pending;
            }
            if let Err(end) = ready!(self.poll_read(cx, line)) {
                self.lost = Some(end);
            }
        }
    }

    /// Begins whole requests, as many as may be worked on at once.
    fn begin<S: Service>(&mut self, line: &Line<impl Stream>, service: &Arc<S>) {
        let mut used = 0;
        while self.exchanges.len() < line.known.shared.options.concurrency
            && self.unframeable.is_none()
            && self.lost.is_none()
        {
            match adu::decode_mbap(&self.bytes[used..]) {
                Decoded::Frame { adu, length } => {
                    used += length;
                    let asked = std::mem::take(&mut self.first_was_asked);
                    self.exchanges.push_back(exchange(line, service, adu, self.came, asked));
                }
                Decoded::Skip { length, .. } => {
                    line.known.shared.count_line_error(LineError::Protocol);
                    used += length;
                }
                Decoded::Incomplete => break,
                Decoded::Unframeable { length } => self.unframeable = Some(length),
            }
        }
        self.bytes.drain(..used);
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Lets every request that is being worked on go on, and takes the replies that are next.
    fn work(&mut self, cx: &mut Context<'_>, line: &Line<impl Stream>) {
        for exchange in &mut self.exchanges {
            if let Exchange::Begun(future) = exchange
                && let Poll::Ready(frame) = future.as_mut().poll(cx)
            {
                *exchange = Exchange::Done(frame);
            }
        }
        let (mut requests, mut exceptions) = (0, 0);
        while !self.sending
            && let Some(Exchange::Done(frame)) = self.exchanges.front()
        {
            requests += 1;
            if line.known.shared.is_watched() {
                line.known.shared.count_one(frame.function, frame.completion(), frame.came);
            }
            exceptions += u64::from(frame.length > 0 && frame.bytes[HEADER] & 0x80 != 0);
            self.replies.extend_from_slice(&frame.bytes[..frame.length]);
            self.exchanges.pop_front();
        }
        if requests > 0 {
            line.known.shared.count(requests, exceptions);
            if let Some(rate) = &line.known.entry.rate {
                let wait = rate.take(requests, line.known.shared.now());
                self.pause = (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)));
            }
        }
    }

    fn has_whole_request(&self) -> bool {
        !matches!(adu::decode_mbap(&self.bytes), Decoded::Incomplete) && self.unframeable.is_none()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, line: &mut Line<impl Stream>) -> Poll<Result<(), End>> {
        match ready!(line.poll_fill(cx, Scratch::take(), &self.bytes)) {
            Ok(scratch) => {
                self.bytes = scratch.rest().to_vec();
                self.came = Instant::now();
                scratch.give_back();
                if self.exchanges.is_empty() && !line.known.entry.begin(line.known.shared.coarse_now()) {
                    return Poll::Ready(Err(End::Stop));
                }
            }
            Err(End::Closed(_)) => self.peer_closed = true,
            Err(end) => return Poll::Ready(Err(end)),
        }
        Poll::Ready(Ok(()))
    }
}

/// One request; it is not done any more when it has waited behind others for longer than a request may take.
fn exchange<S: Service>(
    line: &Line<impl Stream>,
    service: &Arc<S>,
    adu: Adu<'_>,
    came: Instant,
    asked: bool,
) -> Exchange {
    let mut frame = Box::new(Frame { bytes: [0; MAX_FRAME], length: 0, function: adu.pdu[0], came });
    let asker =
        Asker { service: &**service, shared: &line.known.shared, peer: line.known.entry.peer(), broadcast: false };
    if line.known.shared.diagnoses() && asker.is_apart(adu.unit, adu.pdu) {
        frame.length = asker.answer_apart(&adu, &mut frame.bytes).unwrap_or(0);
        return Exchange::Done(frame);
    }
    asker.note_received();
    let reply = match line.known.shared.options.request_deadline {
        Some(limit) if came.elapsed() >= limit => Some(Reply::Exception(ExceptionCode::ServerDeviceBusy)),
        _ if asked => None,
        _ => asker.ask_now(adu.unit, adu.pdu, &mut frame.bytes[HEADER..]),
    };
    if let Some(reply) = reply {
        asker.note_completed(adu.pdu[0], completion(&reply, &frame.bytes[HEADER..]));
        frame.length = finish_frame(reply, &adu, &mut frame.bytes).unwrap_or(0);
        return Exchange::Done(frame);
    }
    Exchange::Begun(Box::pin(answer(service.clone(), line.known.shared.clone(), line.known.entry.clone(), adu, frame)))
}

/// Answers one request, apart from the connection.
fn answer<S: Service>(
    service: Arc<S>,
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    adu: Adu<'_>,
    mut frame: Box<Frame>,
) -> impl Future<Output = Box<Frame>> + Send + use<S> {
    let (transaction, unit) = (adu.transaction, adu.unit);
    // A frame's PDU has 1 to 253 bytes.
    let pdu = Pdu::new(adu.pdu).unwrap_or(Pdu::exception(0, ExceptionCode::ServerDeviceFailure));
    async move {
        let asker = Asker { service: &*service, shared: &shared, peer: entry.peer(), broadcast: false };
        let reply = asker.ask(unit, pdu.as_bytes(), &mut frame.bytes[HEADER..]).await;
        asker.note_completed(pdu.function_byte(), completion(&reply, &frame.bytes[HEADER..]));
        let adu = Adu { transaction, unit, pdu: pdu.as_bytes() };
        frame.length = finish_frame(reply, &adu, &mut frame.bytes).unwrap_or(0);
        frame
    }
}
