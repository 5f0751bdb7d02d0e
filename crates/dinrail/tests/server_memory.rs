//! Malformed frames by the million. What a server holds is what its process holds, so this one has a process for itself.

#![allow(clippy::unwrap_used, missing_docs)] // in a test, an unwrap is an assertion

#[allow(dead_code, reason = "others need more of it")]
#[path = "server/raw.rs"]
mod raw;

use dinrail::Server;
use dinrail::service::Memory;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::raw::{Raw, frame, read, registers, soon, until};

/// A small generator: the test must throw the same bytes every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A frame with a random body of a random length, sometimes a legal request with a byte changed.
fn malformed(random: &mut Random, number: u32) -> Vec<u8> {
    let kind = random.next();
    let mut pdu = match kind % 4 {
        0 => read((random.next() % 25) as u8, random.next() as u16, random.next() as u16),
        1 => crate::raw::write(random.next() as u16, &[1, 2, 3]),
        _ => (0..random.next() % 30 + 1).map(|_| random.next() as u8).collect(),
    };
    if kind & 16 != 0 {
        let at = random.next() as usize % pdu.len();
        pdu[at] = random.next() as u8;
    }
    frame(number as u16, random.next() as u8, &pdu)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_malformed_frames_are_all_answered_and_the_server_does_not_grow() {
    const FRAMES: u32 = 1_000_000;
    let server = Server::tcp("127.0.0.1:0", Memory::with_sizes(1000, 1000, 1000, 1000));
    let address = server.start().await.unwrap();
    let master = Raw::connect(address).await;
    let (mut reader, mut writer) = master.stream.into_split();
    let sending = tokio::spawn(async move {
        let mut random = Random(0x5EED);
        let mut batch = Vec::new();
        for number in 0..FRAMES {
            batch.extend(malformed(&mut random, number));
            if number % 500 == 499 {
                writer.write_all(&batch).await.unwrap();
                batch.clear();
            }
        }
        writer
    });
    let mut random = Random(0x5EED);
    let mut grown = 0;
    let mut before = 0;
    let mut reply = [0; 260];
    for number in 0..FRAMES {
        let request = malformed(&mut random, number);
        soon(reader.read_exact(&mut reply[..9])).await.unwrap();
        let length = usize::from(u16::from_be_bytes([reply[4], reply[5]]));
        assert_eq!(reply[..2], request[..2], "every frame is answered, in order");
        assert_eq!(reply[6], request[6], "by the unit that was asked");
        assert_eq!(reply[7] & 0x7F, request[7] & 0x7F);
        if length > 3 {
            soon(reader.read_exact(&mut reply[9..6 + length])).await.unwrap();
        }
        if reply[7] & 0x80 != 0 {
            assert!((1..=3).contains(&reply[8]), "exception {} for {request:02x?}", reply[8]);
        }
        if number == FRAMES / 10 {
            before = resident();
        } else if number == FRAMES - 1 {
            grown = resident().saturating_sub(before);
        }
    }
    drop(sending.await.unwrap());
    assert!(grown < 4 << 20, "grown by {grown} bytes");
    assert_eq!(server.statistics().requests, u64::from(FRAMES));
    until("it is released", || server.active_connections() == 0).await;
    assert_eq!(registers(&Raw::connect(address).await.ask(&read(3, 0, 1)).await).len(), 1);
}

/// Bytes of memory in use by this process; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}
