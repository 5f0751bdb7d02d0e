//! What passes, as a file that Wireshark reads.
//!
//! A thread writes; connections only put copies into a bounded queue. When the disk is slower than the wire, what finds
//! no room is counted and left out. When the disk is full, the capture ends and nothing else does.

mod blocks;
mod packets;
mod writer;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Frame, Garbage, Link, Passed, Sink};
use crate::proto::Framing;
use crate::proto::adu::MAX_ADU;
use crate::transport::Direction;

/// How many records may wait for the thread.
const QUEUE: usize = 8192;
/// How many bytes may wait for the thread.
const QUEUED_BYTES: usize = 8 << 20;
/// How long the end of a program waits for the last records to be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// A capture file in the pcapng format. A handle: clones write to the same file.
///
/// - TCP framing becomes TCP segments, with headers made up around the bytes as they passed; where each read is a
///   datagram they become UDP. The server's port is written as 502 whatever it is, so that Wireshark knows the protocol
///   at once; the true address stands in the comment of a connection's first packet. Addresses that are not known are
///   from the ranges for documentation (192.0.2.0/24, 2001:db8::/32). What travels inside TLS is written as it is before
///   encryption.
/// - RTU frames become "exported PDUs" for Wireshark's dissector `mbrtu` (link type 252), one packet a frame, and no
///   preference has to be set. Wireshark guesses from its length whether such a frame asks or answers; for functions
///   where both have the same length, as FC 5 and 6, it says that it cannot tell.
/// - Frames of other framings are written as the RTU frames they correspond to: Wireshark has no dissector for ASCII.
/// - Bytes on a serial line that are no frame become packets of plain data.
///
/// Times are in nanoseconds. The file is flushed whenever nothing waits to be written, so a program that is killed loses
/// the last moment at most.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use dinrail::Client;
/// use dinrail::transport::{Pcapng, Tap, Tcp};
///
/// let capture = Pcapng::create("plc.pcapng")?;
/// let client = Client::connect_with(Tap::new(Tcp::from("10.0.0.5"), capture.clone()), Default::default()).await?;
/// client.read_holding_registers(0, 10).await?;
/// client.close();
/// println!("{:?}", capture.finish()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pcapng(Arc<Handle>);

/// What a capture holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Captured {
    /// Packets in the file.
    pub packets: u64,
    /// Records that were left out because the disk did not keep up. One is what was read or written in one go.
    pub dropped: u64,
}

struct Handle {
    sender: SyncSender<Record>,
    shared: Arc<Shared>,
    /// How the thread ended.
    end: Mutex<Option<Receiver<io::Result<()>>>>,
}

/// What the thread and those who feed it both know.
#[derive(Default)]
struct Shared {
    queued: AtomicUsize,
    packets: AtomicU64,
    dropped: AtomicU64,
    /// Nothing is written any more.
    over: AtomicBool,
}

/// What the thread is told.
enum Record {
    Opened(Link, SystemTime),
    Bytes(Link, Piece),
    Closed(Link, SystemTime),
    Finish,
}

/// Bytes that become a packet, or a few.
struct Piece {
    at: SystemTime,
    direction: Direction,
    offset: u64,
    bytes: Vec<u8>,
    /// On serial lines: whether it is a frame.
    is_frame: bool,
}

impl Pcapng {
    /// A capture in the file at `path`. One that is there is replaced.
    ///
    /// # Errors
    /// When the file cannot be made or written to.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        Self::start(File::create(path)?, path.display().to_string())
    }

    /// A capture that goes to `writer`: a pipe, for example. It may block; a thread of its own writes.
    ///
    /// # Errors
    /// When the writer fails at once, or there can be no more threads.
    pub fn to_writer(writer: impl io::Write + Send + 'static) -> io::Result<Self> {
        Self::start(writer, "a writer".to_owned())
    }

    fn start(writer: impl io::Write + Send + 'static, name: String) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, records) = sync_channel(QUEUE);
        let end = writer::start(Box::new(writer), name, records, shared.clone())?;
        Ok(Self(Arc::new(Handle { sender, shared, end: Mutex::new(Some(end)) })))
    }

    /// What has been written and left out so far.
    pub fn captured(&self) -> Captured {
        self.0.captured()
    }

    /// Ends the capture when everything that passed before is written, and says what the file holds. What passes later is
    /// not captured. Blocks until then; so, at the end of a program, does dropping the last handle, for up to 2 s.
    ///
    /// # Errors
    /// When the capture ended before, because it could not be written.
    pub fn finish(&self) -> io::Result<Captured> {
        let end = self.0.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(end) = end {
            // Waits for room, if there is none; an error means that the thread has ended.
            let _ = self.0.sender.send(Record::Finish);
            end.recv().map_err(|_| io::Error::other("the thread that writes the capture has died"))??;
        }
        Ok(self.0.captured())
    }
}

impl Handle {
    fn captured(&self) -> Captured {
        Captured {
            packets: self.shared.packets.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
        }
    }

    fn put(&self, record: Record, length: usize) {
        if self.shared.over.load(Ordering::Relaxed) {
            return;
        }
        let fits = self.shared.queued.fetch_add(length, Ordering::Relaxed) + length <= QUEUED_BYTES;
        let refused = !fits || matches!(self.sender.try_send(record), Err(TrySendError::Full(_)));
        if refused {
            self.shared.queued.fetch_sub(length, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Sink for Pcapng {
    fn opened(&self, link: &Link, at: SystemTime) {
        self.0.put(Record::Opened(link.clone(), at), 0);
    }

    fn bytes(&self, link: &Link, passed: &Passed<'_>) {
        if link.framing == Framing::Tcp {
            let Passed { at, direction, offset, bytes } = *passed;
            let piece = Piece { at, direction, offset, bytes: bytes.to_vec(), is_frame: false };
            self.0.put(Record::Bytes(link.clone(), piece), bytes.len());
        }
    }

    fn frame(&self, link: &Link, frame: &Frame<'_>) {
        if link.framing == Framing::Tcp {
            return;
        }
        let mut rtu = [0; MAX_ADU];
        // Any frame that was decoded fits.
        if let Ok(length) = Framing::Rtu.encode(&frame.adu, &mut rtu) {
            let piece = Piece {
                at: frame.at,
                direction: frame.direction,
                offset: 0,
                bytes: rtu[..length].to_vec(),
                is_frame: true,
            };
            self.0.put(Record::Bytes(link.clone(), piece), length);
        }
    }

    fn garbage(&self, link: &Link, garbage: &Garbage<'_>) {
        if link.framing != Framing::Tcp {
            let Garbage { at, direction, bytes, .. } = *garbage;
            let piece = Piece { at, direction, offset: 0, bytes: bytes.to_vec(), is_frame: false };
            self.0.put(Record::Bytes(link.clone(), piece), bytes.len());
        }
    }

    fn closed(&self, link: &Link, at: SystemTime) {
        self.0.put(Record::Closed(link.clone(), at), 0);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let end = self.end.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(end) = end {
            // The thread ends when the queue is empty and has nobody to fill it, whether it is told or not.
            let (closed, _) = sync_channel(1);
            drop(std::mem::replace(&mut self.sender, closed));
            let _ = end.recv_timeout(PATIENCE);
        }
    }
}

impl fmt::Debug for Pcapng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pcapng").field("captured", &self.captured()).finish_non_exhaustive()
    }
}
