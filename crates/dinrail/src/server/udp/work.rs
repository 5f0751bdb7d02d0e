//! Answering one datagram, in place or as a task of its own.

use std::sync::Arc;
use std::time::Instant;

use tokio::net::UdpSocket;
use tracing::debug;

use crate::proto::adu::{Decoder, Side};
use crate::proto::server::{After, Completion, Connection, Event, ReplyTo, Skipped, Units};
use crate::proto::{ExceptionCode, Framing, Pdu};
use crate::server::connection::{Asker, completion};
use crate::server::entry::{Entry, Keeper};
use crate::server::metrics::{Garbage, LineError};
use crate::server::shared::Shared;
use crate::service::{Peer, Reply, Service};
use crate::transport::udp::is_about_an_earlier_one;

/// How many bytes of replies go into one datagram: what an Ethernet frame carries, since a datagram of several frames is
/// lost when one of them is.
const OUTPUT: usize = 1472;

/// What it takes to answer datagrams.
pub(super) struct Work<S> {
    service: Arc<S>,
    pub(super) shared: Arc<Shared>,
    framing: Framing,
    protocol: Connection,
    /// Whether the server answers FC 8, 11 and 12 itself.
    diagnoses: bool,
    /// The replies to the first requests of a datagram.
    replies: Box<[u8]>,
    end: usize,
    /// What was answered and not counted yet.
    requests: u64,
    exceptions: u64,
    /// Whether the datagram held anything but requests.
    unsound: bool,
    pub(super) socket: Arc<UdpSocket>,
    /// For a datagram that is answered apart: since when. Dropped after the socket: what waits for it to be gone finds the
    /// port free.
    begun: Option<Begun>,
    /// Who asks, between two datagrams.
    pub(super) peer: Peer,
    /// When the datagram came, if that is to be known.
    pub(super) came: Option<Instant>,
    garbage: Garbage,
}

/// A request that is not answered at once.
pub(super) struct Slow {
    to: ReplyTo,
    pdu: Pdu,
    /// Where the next request begins.
    pub(super) used: usize,
}

/// A datagram that is answered apart, in the server's table.
struct Begun {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    since: Instant,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.shared.release(&self.entry);
    }
}

impl<S: Service> Work<S> {
    pub(super) fn new(socket: Arc<UdpSocket>, service: Arc<S>, shared: Arc<Shared>) -> Self {
        let framing = shared.options.framing;
        // Who asks over a network shares no line with others, and may use the units that serial lines reserve.
        let decoder = Decoder::new(framing, Side::Requests)
            .with_custom_lengths(shared.options.custom_lengths)
            .with_reserved_units();
        let protocol = Connection::with_decoder(decoder, Units::ALL);
        let protocol = if shared.broadcasts() { protocol } else { protocol.without_broadcasts() };
        Self::with(socket, service, shared, protocol, None)
    }

    fn with(
        socket: Arc<UdpSocket>,
        service: Arc<S>,
        shared: Arc<Shared>,
        protocol: Connection,
        begun: Option<Begun>,
    ) -> Self {
        let framing = shared.options.framing;
        let diagnoses = shared.diagnoses();
        let replies = vec![0; OUTPUT + framing.max_adu()].into_boxed_slice();
        let (end, requests, exceptions, unsound) = (0, 0, 0, false);
        let peer = shared.peer(Peer::default());
        Self {
            service,
            shared,
            framing,
            protocol,
            diagnoses,
            replies,
            end,
            requests,
            exceptions,
            unsound,
            socket,
            begun,
            peer,
            came: None,
            garbage: Garbage::default(),
        }
    }

    /// Answers the requests of a datagram for as long as they are answered at once, and sends the replies when it was all
    /// of them.
    pub(super) async fn answer(&mut self, peer: &Peer, datagram: &mut [u8]) -> Option<Slow> {
        let mut used = 0;
        loop {
            let bytes = &mut datagram[used..];
            let event = match self.diagnoses {
                true => self.shared.diagnostics.step(&mut self.protocol, bytes, true),
                false => self.protocol.end_of_burst(bytes),
            };
            if self.shared.is_watched()
                && let Some(counts) = self.shared.counts()
            {
                self.garbage.see(counts, &event, true);
            }
            match event {
                // A reply. Whoever has forged the sender's address must not have two servers refuse each other for ever.
                Event::Request { adu, length, .. } if adu.pdu[0] >= 0x80 => {
                    used += length;
                    self.unsound = true;
                }
                Event::Request { adu, to, length } => {
                    used += length;
                    if !self.shared.admits_request(peer) {
                        continue;
                    }
                    // A frame's PDU has 1 to 253 bytes.
                    let slow = |pdu| Pdu::new(pdu).ok().map(|pdu| Slow { to, pdu, used });
                    if self.is_broadcast(to) {
                        return slow(adu.pdu);
                    }
                    let (unit, function) = (adu.unit, adu.pdu[0]);
                    let late = self.is_late();
                    let asker = asker(&*self.service, &self.shared, peer);
                    let response = &mut self.replies[self.end + self.framing.pdu_offset()..];
                    let answer = if late {
                        (Reply::Exception(ExceptionCode::ServerDeviceBusy), After::default())
                    } else if self.diagnoses
                        && let Some(diagnosed) = asker.diagnose(unit, adu.pdu, response)
                    {
                        diagnosed
                    } else {
                        match asker.ask_now(unit, adu.pdu, response) {
                            Some(reply) => (reply, After::default()),
                            None => return slow(adu.pdu),
                        }
                    };
                    self.finish(peer, to, function, answer).await;
                }
                Event::Skip { length, what } => {
                    used += length;
                    self.unsound |= matches!(what, Skipped::Discarded(_));
                }
                Event::Close { .. } => {
                    self.shared.count_line_error(LineError::Length);
                    self.unsound = true;
                    break;
                }
                Event::Wait => break,
            }
        }
        if std::mem::take(&mut self.unsound) {
            self.shared.count_discarded();
        }
        self.send(peer).await;
        None
    }

    /// Has the rest of a datagram, behind a request that takes its time, answered by a task. `false` when there are too
    /// many of them: then nothing is begun.
    pub(super) fn apart(&mut self, peer: &Peer, slow: &Slow, rest: &[u8]) -> bool {
        let Some(entry) = self.shared.begin(peer) else {
            return false;
        };
        let begun = Begun { shared: self.shared.clone(), entry: entry.clone(), since: Instant::now() };
        let (socket, service, shared) = (self.socket.clone(), self.service.clone(), self.shared.clone());
        let mut work = Self::with(socket, service, shared, self.protocol.clone(), Some(begun));
        work.replies[..self.end].copy_from_slice(&self.replies[..self.end]);
        (work.end, self.end) = (self.end, 0);
        (work.requests, self.requests) = (self.requests, 0);
        (work.exceptions, self.exceptions) = (self.exceptions, 0);
        (work.unsound, self.unsound) = (self.unsound, false);
        work.came = self.came;
        let slow = Slow { pdu: slow.pdu, ..*slow };
        let task = tokio::spawn(work.go_on(peer.clone(), slow, rest.to_vec()));
        entry.set_keeper(Keeper::Task(task.abort_handle()));
        true
    }

    /// Refuses a request, since too many others are being worked on.
    pub(super) async fn refuse(&mut self, peer: &Peer, slow: &Slow) {
        let function = slow.pdu.function_byte();
        debug!(
            target: "dinrail::server",
            server = %self.shared.options.name, %peer, unit = %slow.to.unit(), function,
            "busy: as many requests as may be are being worked on"
        );
        let busy = Reply::Exception(ExceptionCode::ServerDeviceBusy);
        let reply = if self.is_broadcast(slow.to) { Reply::Silent } else { busy };
        self.finish(peer, slow.to, function, (reply, After::default())).await;
    }

    /// Answers a request that takes its time, and those behind it.
    async fn go_on(mut self, peer: Peer, mut slow: Slow, mut rest: Vec<u8>) {
        let mut used = 0;
        loop {
            let everywhere = self.is_broadcast(slow.to);
            let response = &mut self.replies[self.end + self.framing.pdu_offset()..];
            let mut asker = asker(&*self.service, &self.shared, &peer);
            let reply = if everywhere {
                asker.broadcast = true;
                asker.ask_everywhere(slow.pdu.as_bytes(), response).await;
                Reply::Silent
            } else {
                asker.ask(slow.to.unit(), slow.pdu.as_bytes(), response).await
            };
            self.finish(&peer, slow.to, slow.pdu.function_byte(), (reply, After::default())).await;
            match self.answer(&peer, &mut rest[used..]).await {
                Some(next) => {
                    used += next.used;
                    slow = next;
                }
                None => return,
            }
        }
    }

    fn is_broadcast(&self, to: ReplyTo) -> bool {
        to.is_broadcast() || (self.shared.broadcasts() && to.unit().is_broadcast())
    }

    /// Whether requests behind one that took its time have waited for as long as a request may take.
    fn is_late(&self) -> bool {
        let limit = self.shared.options.request_deadline;
        self.begun.as_ref().zip(limit).is_some_and(|(begun, limit)| begun.since.elapsed() >= limit)
    }

    /// Makes a frame of the reply that stands behind the others, if it is a response.
    async fn finish(&mut self, peer: &Peer, to: ReplyTo, function: u8, (reply, after): (Reply, After)) {
        let frame = &mut self.replies[self.end..];
        let at = self.framing.pdu_offset();
        self.requests += 1;
        let completion = completion(&reply, &frame[at..]);
        if let Some(came) = self.came {
            self.shared.count_one(function, completion, came);
        }
        let length = match reply {
            Reply::Response(written) => written.length(),
            Reply::Exception(code) => {
                frame[at..at + 2].copy_from_slice(&[function | 0x80, code.code()]);
                2
            }
            Reply::Silent => {
                self.protocol.no_reply();
                return self.completed(to, completion, after);
            }
        };
        self.exceptions += u64::from(frame[at] >> 7);
        // There is room for every frame that there can be.
        let length = self.protocol.reply_in_place(to, length, frame).unwrap_or(0);
        self.completed(to, completion, after);
        let (begin, end) = (self.end, self.end + length);
        if begin > 0 && end > OUTPUT {
            self.send(peer).await;
            self.replies.copy_within(begin..end, 0);
            self.end = length;
        } else {
            self.end = end;
        }
    }

    /// Records what became of a request, where that is asked for.
    fn completed(&mut self, to: ReplyTo, completion: Completion, after: After) {
        if self.diagnoses {
            self.shared.diagnostics.completed(&mut self.protocol, to, completion, after);
        }
    }

    /// Sends the replies that there are.
    async fn send(&mut self, peer: &Peer) {
        let (requests, exceptions) = (std::mem::take(&mut self.requests), std::mem::take(&mut self.exceptions));
        if requests > 0 {
            self.shared.count(requests, exceptions);
        }
        let replies = &self.replies[..std::mem::take(&mut self.end)];
        let Some(address) = peer.address.filter(|_| !replies.is_empty()) else {
            return;
        };
        if self.shared.is_watched() {
            self.shared.tell_sending(peer, replies);
        }
        let sent = match self.socket.send_to(replies, address).await {
            // That was about a reply before this one, which was not sent yet.
            Err(error) if is_about_an_earlier_one(&error) => self.socket.send_to(replies, address).await,
            sent => sent,
        };
        if let Err(error) = sent {
            debug!(target: "dinrail::server", server = %self.shared.options.name, %peer, %error, "cannot reply");
        }
    }
}

/// Who asks the service, and for whom.
fn asker<'a, S>(service: &'a S, shared: &'a Shared, peer: &'a Peer) -> Asker<'a, S> {
    Asker { service, shared, peer, broadcast: false }
}
