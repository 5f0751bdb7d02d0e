//! Captures: files of packets as tcpdump, Wireshark and [`Pcapng`](crate::transport::Pcapng) write them.

mod blocks;
mod packets;
mod watch;

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use pcap_parser::{PcapError, create_reader, traits::PcapReaderIterator};

use self::blocks::{Beginning, Interface, packet};
use self::watch::Watch;
use super::{Observer, Seen};
use crate::proto::Framing;

/// Room for blocks, in bytes; it grows when one is longer.
const ROOM: usize = 1 << 16;
/// Packets are shorter; this is where a file is taken for broken.
const MAX_BLOCK: usize = 16 << 20;

/// What to look for in a capture.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaptureOptions {
    /// The ports of servers, TCP and UDP; 502 unless set.
    pub ports: Vec<u16>,
    /// How frames are laid on these connections; TCP framing unless set.
    pub framing: Framing,
    /// How long a reply may take; see [`Observer::new`] unless set.
    pub timeout: Option<Duration>,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self { ports: vec![502], framing: Framing::Tcp, timeout: None }
    }
}

impl CaptureOptions {
    /// Looks at these ports of servers.
    #[must_use]
    pub fn with_ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = ports.into_iter().collect();
        self
    }

    /// Expects this framing on TCP and UDP.
    #[must_use]
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Takes requests for unanswered after this time.
    #[must_use]
    pub fn with_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    fn observer(&self, framing: Framing) -> Observer {
        match self.timeout {
            Some(timeout) => Observer::with_timeout(framing, timeout),
            None => Observer::new(framing),
        }
    }
}

/// A capture that is read from its beginning to its end: an iterator over what is seen in it.
///
/// It reads pcap and pcapng; Ethernet with VLANs, Linux "cooked" captures, loopback and raw IP. TCP is put in order;
/// fragments of IP are not put together, since no Modbus frame needs them. RTU frames are read from the exported PDUs
/// (link type 252, dissector `mbrtu`) that [`Pcapng`](crate::transport::Pcapng) writes.
///
/// A capture that is cut off, as by a program that was killed, ends where it is cut; see [`is_cut`](Self::is_cut).
///
/// ```no_run
/// use dinrail::sniff::{Capture, CaptureOptions, Summary};
///
/// let mut summary = Summary::new();
/// for seen in Capture::open("plc.pcapng", CaptureOptions::default())? {
///     let seen = seen?;
///     println!("{}: {:?}", seen.link, seen.event);
///     summary.count(&seen);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Capture {
    reader: Box<dyn PcapReaderIterator + Send>,
    interfaces: Vec<Interface>,
    watch: Watch,
    seen: VecDeque<Seen>,
    packets: u64,
    /// Bytes of the reader's buffer.
    room: usize,
    is_cut: bool,
    is_over: bool,
}

impl Capture {
    /// The capture in the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, or is no capture.
    pub fn open(path: impl AsRef<Path>, options: CaptureOptions) -> io::Result<Self> {
        Self::from_reader(File::open(path)?, options)
    }

    /// The capture that is read from `reader`: a pipe from `tcpdump -U -w -`, for example.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_reader(reader: impl Read + Send + 'static, options: CaptureOptions) -> io::Result<Self> {
        let none = || io::Error::new(io::ErrorKind::InvalidData, "this is no capture: neither pcap nor pcapng");
        // The beginning may come in pieces, and must be there as a whole to be told what it is.
        let reader = create_reader(ROOM, Beginning::new(reader)).map_err(|_| none())?;
        Ok(Self {
            reader,
            interfaces: Vec::new(),
            watch: Watch::new(options),
            seen: VecDeque::new(),
            packets: 0,
            room: ROOM,
            is_cut: false,
            is_over: false,
        })
    }

    /// How many packets have been read.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Ports of servers that were spoken to so far and not looked at, with their packets: what
    /// [`CaptureOptions::ports`] may lack. There are no more than 64 of them.
    pub fn other_ports(&self) -> impl Iterator<Item = (u16, u64)> {
        self.watch.others()
    }

    /// Whether the capture turned out to be cut off.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Reads on; `false` at the end.
    fn read(&mut self) -> io::Result<bool> {
        let needs_room = match self.reader.next() {
            Ok((length, block)) => {
                if let Some((at, interface, link, data)) = packet(&mut self.interfaces, block) {
                    self.packets += 1;
                    self.watch.packet(at, interface, link, data, &mut self.seen);
                }
                self.reader.consume(length);
                return Ok(true);
            }
            Err(PcapError::Eof) => return Ok(false),
            Err(PcapError::UnexpectedEof) => {
                self.is_cut = true;
                return Ok(false);
            }
            Err(PcapError::Incomplete(_)) => false,
            Err(PcapError::BufferTooSmall) => true,
            Err(_) => return Err(broken()),
        };
        if needs_room {
            self.room *= 2;
            if self.room > MAX_BLOCK || !self.reader.grow(self.room) {
                return Err(broken());
            }
        }
        self.reader.refill().map_err(|_| io::Error::other("the capture cannot be read any further"))?;
        Ok(true)
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the capture is broken here; what stands before it was read")
}

impl Iterator for Capture {
    type Item = io::Result<Seen>;

    fn next(&mut self) -> Option<io::Result<Seen>> {
        loop {
            if let Some(seen) = self.seen.pop_front() {
                return Some(Ok(seen));
            }
            if self.is_over {
                return None;
            }
            let read = self.read();
            if !matches!(read, Ok(true)) {
                self.is_over = true;
                self.watch.finish(&mut self.seen);
            }
            if let Err(error) = read {
                // What was outstanding comes behind it.
                return Some(Err(error));
            }
        }
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("packets", &self.packets).finish_non_exhaustive()
    }
}
