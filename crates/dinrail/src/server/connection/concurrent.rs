//! A connection that works on several requests at once; its replies keep the order of the requests all the same.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::task::JoinHandle;

use super::ask::{Asker, finish_frame};
use super::{Connection, End, HEADER, Line, MAX_FRAME};
use crate::proto::adu::{self, Decoded};
use crate::proto::{Adu, ExceptionCode, Pdu};
use crate::service::Service;
use crate::transport::Stream;

/// A request that is being worked on; dropping it cuts it off.
struct Task(JoinHandle<Option<Box<Frame>>>);

/// A reply, ready to be sent.
struct Frame {
    bytes: [u8; MAX_FRAME],
    length: usize,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What happens next.
enum Next {
    /// The oldest request is answered, or is not to be.
    Answered(Option<Box<Frame>>),
    /// Bytes have come.
    Filled(Vec<u8>),
}

pub(super) async fn serve<S: Service, T: Stream>(connection: &mut Connection<S, T>) -> End {
    let most = connection.line.shared.options.concurrency;
    let mut tasks: VecDeque<Task> = VecDeque::with_capacity(most);
    let mut bytes = Vec::new();
    loop {
        let before = tasks.len();
        let used = match start(connection, &mut tasks, &bytes, most) {
            Ok(used) => used,
            Err(length) => {
                // What came before it is answered still.
                while let Some(task) = tasks.pop_front() {
                    let frame = finished(task).await;
                    if let Err(end) = send(&mut connection.io, &connection.line, frame.into_iter()).await {
                        return end;
                    }
                }
                return End::Unframeable(length);
            }
        };
        bytes.drain(..used);
        let line = &connection.line;
        if before == 0 && !tasks.is_empty() && !line.entry.begin(line.shared.coarse_now()) {
            return End::Stop;
        }
        match next(connection, &mut tasks, &mut bytes, most).await {
            Err(end) => return end,
            Ok(Next::Filled(filled)) => bytes = filled,
            Ok(Next::Answered(first)) => {
                let mut frames = vec![first];
                while tasks.front().is_some_and(|task| task.0.is_finished())
                    && let Some(task) = tasks.pop_front()
                {
                    frames.push(finished(task).await);
                }
                connection.line.shared.count(frames.len() as u64, exceptions(&frames));
                if let Err(end) = send(&mut connection.io, &connection.line, frames.into_iter().flatten()).await {
                    return end;
                }
                if tasks.is_empty() && !connection.line.entry.end() {
                    return End::Stop;
                }
            }
        }
    }
}

/// Starts the whole requests at the front of `bytes`, as many as may be worked on at once; returns how many bytes they
/// take. The error is a length field that cannot be.
fn start<S: Service, T: Stream>(
    connection: &Connection<S, T>,
    tasks: &mut VecDeque<Task>,
    bytes: &[u8],
    most: usize,
) -> Result<usize, u16> {
    let mut used = 0;
    while tasks.len() < most {
        match adu::decode_mbap(&bytes[used..]) {
            Decoded::Frame { adu, length } => {
                used += length;
                tasks.push_back(Task(tokio::spawn(answer(connection, adu))));
            }
            Decoded::Skip { length, .. } => used += length,
            Decoded::Incomplete => break,
            Decoded::Unframeable { length } => return Err(length),
        }
    }
    Ok(used)
}

/// Answers one request, apart from the connection.
fn answer<S: Service, T: Stream>(
    connection: &Connection<S, T>,
    adu: Adu<'_>,
) -> impl Future<Output = Option<Box<Frame>>> + Send + use<S, T> {
    let service = connection.service.clone();
    let (shared, entry) = (connection.line.shared.clone(), connection.line.entry.clone());
    let (transaction, unit) = (adu.transaction, adu.unit);
    // A frame's PDU has 1 to 253 bytes.
    let pdu = Pdu::new(adu.pdu).unwrap_or(Pdu::exception(0, ExceptionCode::ServerDeviceFailure));
    async move {
        let asker = Asker { service: &*service, shared: &shared, peer: &entry.peer };
        let adu = Adu { transaction, unit, pdu: pdu.as_bytes() };
        let mut frame = Box::new(Frame { bytes: [0; MAX_FRAME], length: 0 });
        let reply = {
            let asked = std::pin::pin!(asker.ask(unit, adu.pdu, &mut frame.bytes[HEADER..]));
            asker.wait(asked, adu, std::time::Instant::now()).await
        };
        frame.length = finish_frame(reply, &adu, &mut frame.bytes)?;
        Some(frame)
    }
}

/// Waits for the oldest request to be answered or, when more may be worked on, for bytes.
async fn next<S: Service, T: Stream>(
    connection: &mut Connection<S, T>,
    tasks: &mut VecDeque<Task>,
    bytes: &mut Vec<u8>,
    most: usize,
) -> Result<Next, End> {
    poll_fn(|cx| {
        if let Some(task) = tasks.front_mut()
            && let Poll::Ready(done) = Pin::new(&mut task.0).poll(cx)
        {
            tasks.pop_front();
            return Poll::Ready(Ok(Next::Answered(done.unwrap_or_default())));
        }
        if tasks.len() >= most || connection.line.entry.is_ending() {
            return Poll::Pending;
        }
        let (scratch, filled) = ready!(connection.poll_fill(cx, bytes))?;
        let came = scratch.input[bytes.len()..filled].to_vec();
        scratch.give_back();
        if came.is_empty() {
            return match tasks.is_empty() {
                true => Poll::Ready(Err(End::Closed(bytes.len()))),
                // It has closed its side only: what is being worked on is answered first.
                false => Poll::Pending,
            };
        }
        if let Some(hooks) = &connection.line.shared.hooks {
            hooks.received(&connection.line.entry.peer, &came);
        }
        let mut all = std::mem::take(bytes);
        all.extend_from_slice(&came);
        Poll::Ready(Ok(Next::Filled(all)))
    })
    .await
}

async fn finished(mut task: Task) -> Option<Box<Frame>> {
    // Panics of the service are caught within; a cut-off task has nothing to say.
    (&mut task.0).await.unwrap_or_default()
}

fn exceptions(frames: &[Option<Box<Frame>>]) -> u64 {
    frames.iter().flatten().filter(|frame| frame.bytes[HEADER] & 0x80 != 0).count() as u64
}

async fn send(io: &mut impl Stream, line: &Line, frames: impl Iterator<Item = Box<Frame>>) -> Result<(), End> {
    let batch: Vec<u8> = frames.flat_map(|frame| frame.bytes.into_iter().take(frame.length)).collect();
    line.send(io, &batch).await
}
