//! The thread that writes.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::SystemTime;

use tracing::{error, warn};

use super::blocks::{self, ETHERNET, Packet, UPPER_PDU};
use super::packets::{Conversation, exported};
use super::{Piece, Record, Shared};
use crate::proto::Framing;
use crate::transport::Direction;
use crate::transport::tap::{Link, Role};

/// The numbers of the interfaces.
const NETWORK: u32 = 0;
const SERIAL: u32 = 1;

/// How many connections are known at once.
const MAX_LINKS: usize = 16 * 1024;

/// Writes the beginning, and starts the thread. What it returns says how the thread ended.
pub(super) fn start(
    writer: Box<dyn Write + Send>,
    name: String,
    records: Receiver<Record>,
    shared: Arc<Shared>,
) -> io::Result<Receiver<io::Result<()>>> {
    let mut out = BufWriter::with_capacity(1 << 16, writer);
    blocks::section(&mut out)?;
    blocks::interface(&mut out, ETHERNET, "dinrail: TCP and UDP")?;
    blocks::interface(&mut out, UPPER_PDU, "dinrail: serial lines")?;
    out.flush()?;
    let (ended, end) = sync_channel(1);
    let mut file = File { out, shared, links: HashMap::new(), counts: [0; 2], told: 0 };
    thread::Builder::new().name("dinrail-capture".to_owned()).spawn(move || {
        let written = file.run(&records, &name);
        file.shared.over.store(true, Ordering::Relaxed);
        if let Err(error) = &written {
            error!(
                target: "dinrail::wire", %error, file = name,
                "the capture ends here: it cannot be written; traffic goes on. Is the disk full?"
            );
        }
        // Nobody may be waiting for that.
        let _ = ended.send(written);
    })?;
    Ok(end)
}

struct File {
    out: BufWriter<Box<dyn Write + Send>>,
    shared: Arc<Shared>,
    /// `None` for serial lines, which have no headers.
    links: HashMap<u64, Option<Conversation>>,
    /// Packets of each interface.
    counts: [u64; 2],
    /// How many lost records have been spoken of.
    told: u64,
}

impl File {
    fn run(&mut self, records: &Receiver<Record>, name: &str) -> io::Result<()> {
        loop {
            let record = match records.try_recv() {
                Ok(record) => record,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.out.flush()?;
                    self.tell_of_drops(name);
                    match records.recv() {
                        Ok(record) => record,
                        Err(_) => break,
                    }
                }
            };
            match record {
                Record::Opened(link, at) => {
                    self.open(&link, at)?;
                }
                Record::Bytes(link, piece) => {
                    self.shared.queued.fetch_sub(piece.bytes.len(), Ordering::Relaxed);
                    self.bytes(&link, &piece)?;
                }
                Record::Closed(link, at) => {
                    if let Some(Some(mut conversation)) = self.links.remove(&link.id) {
                        self.packets(at, conversation.close(), None)?;
                    }
                }
                Record::Finish => break,
            }
        }
        self.tell_of_drops(name);
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        // Nobody knows which interface would have had them.
        for (interface, dropped) in [(NETWORK, dropped), (SERIAL, 0)] {
            let packets = self.counts[interface as usize];
            if packets + dropped > 0 {
                blocks::statistics(&mut self.out, interface, SystemTime::now(), packets, dropped)?;
            }
        }
        self.out.flush()
    }

    /// When the queue is empty again, so not for each of them.
    fn tell_of_drops(&mut self, name: &str) {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            let new = dropped - self.told;
            warn!(target: "dinrail::wire", dropped = new, file = name, "the capture has gaps: the disk did not keep up");
            self.told = dropped;
        }
    }

    /// The state of a connection, which is new if its beginning was left out.
    fn open(&mut self, link: &Link, at: SystemTime) -> io::Result<()> {
        if link.framing != Framing::Tcp {
            return Ok(());
        }
        // The end of a connection may have been left out. One that goes on is made up again.
        if self.links.len() >= MAX_LINKS {
            self.links.clear();
        }
        let mut conversation = Conversation::new(link);
        let handshake = conversation.open();
        self.links.insert(link.id, Some(conversation));
        self.packets(at, handshake, Some(&comment(link)))
    }

    fn bytes(&mut self, link: &Link, piece: &Piece) -> io::Result<()> {
        if link.framing != Framing::Tcp {
            let comment = self.links.insert(link.id, None).is_none().then(|| comment(link));
            let packet = exported(if piece.is_frame { "mbrtu" } else { "data" }, &piece.bytes);
            return self.packet(SERIAL, piece.at, piece.direction, &packet, comment.as_deref());
        }
        if !self.links.contains_key(&link.id) {
            self.open(link, piece.at)?;
        }
        let Some(Some(conversation)) = self.links.get_mut(&link.id) else { return Ok(()) };
        let packets = conversation.data(piece.direction, piece.offset, &piece.bytes);
        self.packets(piece.at, packets, None)
    }

    fn packets(
        &mut self,
        at: SystemTime,
        packets: Vec<super::packets::Packet>,
        mut comment: Option<&str>,
    ) -> io::Result<()> {
        for (direction, bytes) in packets {
            self.packet(NETWORK, at, direction, &bytes, comment.take())?;
        }
        Ok(())
    }

    fn packet(
        &mut self,
        interface: u32,
        at: SystemTime,
        direction: Direction,
        bytes: &[u8],
        comment: Option<&str>,
    ) -> io::Result<()> {
        Packet { interface, at, direction, bytes, comment }.write(&mut self.out)?;
        self.counts[interface as usize] += 1;
        self.shared.packets.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// What the headers do not tell.
fn comment(link: &Link) -> String {
    match link.role {
        Role::Client => format!("dinrail is the client of {}", link.peer),
        Role::Server => format!("dinrail is the server of {}", link.peer),
    }
}
