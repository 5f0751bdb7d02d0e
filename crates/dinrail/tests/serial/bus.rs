//! Pseudo terminals joined like an RS-485 bus: what one says, all others hear, and so does the test.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use dinrail::proto::{Adu, Framing, UnitId};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::sync::mpsc as heard;

/// Longer than anything here takes, unless it never happens.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// How long nothing must come before it is taken that nothing will. Where a loaded machine is slower than that, the next
/// answer is found to be another.
const QUIET: Duration = Duration::from_millis(150);

/// How a bus treats what is said on it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// How long each byte takes.
    pub(crate) byte_time: Duration,
    /// Whoever speaks hears it too.
    pub(crate) echo: bool,
}

/// A bus with a number of ports. It ends when it is dropped, and the ports with it.
pub(crate) struct Bus {
    ports: Vec<String>,
    said: mpsc::Sender<Vec<u8>>,
    /// A byte for each thing that is said; closed, it ends the bus.
    bell: Option<File>,
    heard: heard::UnboundedReceiver<u8>,
    thread: Option<JoinHandle<()>>,
}

impl Bus {
    pub(crate) fn new(ports: usize) -> Self {
        Self::with_manner(ports, Manner::default())
    }

    pub(crate) fn with_manner(ports: usize, manner: Manner) -> Self {
        let pairs: Vec<_> = (0..ports).map(|_| pair()).collect();
        let names = pairs.iter().map(|(_, _, name)| name.clone()).collect();
        let (said, to_say) = mpsc::channel();
        let (hears, heard) = heard::unbounded_channel();
        let (rings, bell) = rustix::pipe::pipe().expect("a pipe");
        let thread = std::thread::spawn(move || {
            // The far ends are held open, so that a port nobody has open is no hang-up.
            let (masters, _held): (Vec<File>, Vec<File>) = pairs.into_iter().map(|(near, far, _)| (near, far)).unzip();
            join(&masters, File::from(rings), &to_say, &hears, manner);
        });
        Self { ports: names, said, bell: Some(File::from(bell)), heard, thread: Some(thread) }
    }

    /// The name of a port.
    pub(crate) fn port(&self, number: usize) -> &str {
        &self.ports[number]
    }

    /// Says something to all ports.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.said.send(bytes.to_vec()).expect("the bus is there");
        self.bell.as_mut().expect("the bus is there").write_all(&[0]).expect("the bus is there");
    }

    /// The next `count` bytes that ports say.
    pub(crate) async fn hear(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            match tokio::time::timeout(LONG, self.heard.recv()).await {
                Ok(byte) => bytes.push(byte.expect("the bus is there")),
                Err(_) => panic!("only {bytes:02x?} came, not {count} bytes"),
            }
        }
        bytes
    }

    /// The next byte, if one comes before then.
    pub(crate) async fn hear_before(&mut self, at: tokio::time::Instant) -> Option<u8> {
        tokio::time::timeout_at(at, self.heard.recv()).await.ok().flatten()
    }

    /// Everything that ports say until they are quiet.
    pub(crate) async fn hear_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(byte) = self.hear_before(tokio::time::Instant::now() + QUIET).await {
            bytes.push(byte);
        }
        bytes
    }

    /// Says something and returns the next `count` bytes that ports say, and what has come behind them by then.
    pub(crate) async fn ask(&mut self, bytes: &[u8], count: usize) -> Vec<u8> {
        self.say(bytes);
        let mut heard = self.hear(count).await;
        heard.extend(std::iter::from_fn(|| self.heard.try_recv().ok()));
        heard
    }

    /// Says what is for nobody, and returns everything that ports say all the same.
    pub(crate) async fn tell(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.say(bytes);
        self.hear_all().await
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.bell = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Both ends of a pseudo terminal that changes nothing of what goes through it, and the name of the far one.
pub(crate) fn pair() -> (File, File, String) {
    let near: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&near).expect("a terminal of ours");
    unlockpt(&near).expect("a terminal of ours");
    let name = ptsname(&near, Vec::new()).expect("its name").into_string().expect("a name");
    let no_terminal_of_ours = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
    let far = OpenOptions::new().read(true).write(true).custom_flags(no_terminal_of_ours).open(&name).expect("a port");
    let mut raw = tcgetattr(&far).expect("a terminal");
    raw.make_raw();
    tcsetattr(&far, OptionalActions::Now, &raw).expect("a terminal");
    (File::from(near), far, name)
}

/// Carries what is said, until the bell is gone.
fn join(
    masters: &[File],
    mut rings: File,
    to_say: &mpsc::Receiver<Vec<u8>>,
    hears: &heard::UnboundedSender<u8>,
    manner: Manner,
) {
    let mut next = std::time::Instant::now();
    let mut carry = |bytes: &[u8], from: Option<usize>| {
        let pieces = if manner.byte_time.is_zero() { bytes.len().max(1) } else { 1 };
        for piece in bytes.chunks(pieces) {
            // A byte is there when it has come whole; several of them do not take longer by what sleeping adds.
            next = next.max(std::time::Instant::now()) + manner.byte_time;
            std::thread::sleep(next.saturating_duration_since(std::time::Instant::now()));
            for (number, mut master) in masters.iter().enumerate() {
                if manner.echo || from != Some(number) {
                    master.write_all(piece).expect("there is room");
                }
            }
            if from.is_some() {
                for byte in piece {
                    let _ = hears.send(*byte);
                }
            }
        }
    };
    let mut bytes = [0; 512];
    loop {
        let mut waiting: Vec<_> = masters.iter().map(|master| PollFd::new(master, PollFlags::IN)).collect();
        waiting.push(PollFd::new(&rings, PollFlags::IN));
        poll(&mut waiting, None).expect("it can be waited for");
        let ready: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        for (number, mut master) in masters.iter().enumerate() {
            if ready[number] {
                let read = master.read(&mut bytes).expect("the far end is held open");
                carry(&bytes[..read], Some(number));
            }
        }
        if ready[masters.len()] {
            if rings.read(&mut bytes[..1]).expect("a pipe") == 0 {
                return;
            }
            carry(&to_say.recv().expect("what the bell was rung for"), None);
        }
    }
}

/// A frame as it stands on the line.
pub(crate) fn frame(framing: Framing, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 513];
    let length = framing.encode(&Adu { transaction: 0, unit: UnitId(unit), pdu }, &mut out).expect("a PDU");
    out.truncate(length);
    out
}

pub(crate) fn rtu(unit: u8, pdu: &[u8]) -> Vec<u8> {
    frame(Framing::Rtu, unit, pdu)
}
