//! A bus with three other devices' traffic, one byte of a hundred corrupted: the server answers every request for it
//! that came intact, and nothing else. For three seconds; for longer with DINRAIL_BUS_SECONDS=60.

use std::time::{Duration, Instant};

use dinrail::server::Options;
use dinrail::transport::Serial;
use dinrail::{Area, Server};

use crate::bus::{Bus, LONG, rtu};
use crate::server::memory;

const OURS: u8 = 7;
const OTHERS: [u8; 3] = [3, 8, 200];

/// A small generator of one's own: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // Xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % limit
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("a byte")
    }

    fn word(&mut self, limit: u64) -> [u8; 2] {
        u16::try_from(self.below(limit)).expect("a word").to_be_bytes()
    }

    /// Flips a bit of one byte in a hundred; whether none was hit.
    fn corrupt(&mut self, bytes: &mut [u8]) -> bool {
        let mut intact = true;
        for byte in bytes {
            if self.below(100) == 0 {
                *byte ^= 1 << self.below(8);
                intact = false;
            }
        }
        intact
    }
}

/// A request, and the reply of a device whose registers all hold their address.
fn exchange(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let address = random.word(60);
    match random.below(4) {
        0 => {
            let count = 1 + random.below(30);
            let first = u64::from(u16::from_be_bytes(address));
            let values = (first..first + count).flat_map(|at| (at as u16).to_be_bytes());
            let request = [&[3][..], &address, &(count as u16).to_be_bytes()].concat();
            (request, [3, count as u8 * 2].into_iter().chain(values).collect())
        }
        1 => {
            // The reply is the request.
            let write = [&[6][..], &address, &address].concat();
            (write.clone(), write)
        }
        2 => {
            let request = [&[16][..], &address, &[0, 1, 2], &address].concat();
            (request, [&[16][..], &address, &[0, 1]].concat())
        }
        _ => {
            let request = [&[22][..], &address, &[0xFF, 0xFF, 0, 0]].concat();
            (request.clone(), request)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_intact_request_is_answered_and_no_other() {
    let seconds = std::env::var("DINRAIL_BUS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let mut bus = Bus::new(1);
    let memory = memory();
    let registers: Vec<u16> = (0..100).collect();
    memory.set(Area::HoldingRegister, 0, &registers).expect("they fit");
    let port = Serial::rtu(bus.port(0)).with_baud(115_200);
    let server = Server::serial(port, memory).with_options(Options::default().with_units([OURS]));
    server.start().await.expect("the port opens");

    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let (mut asked, mut damaged, mut foreign, mut noise) = (0u64, 0u64, 0u64, 0u64);
    let end = Instant::now() + Duration::from_secs(seconds);
    // A loaded machine gets through less.
    while Instant::now() < end || asked <= 10 * seconds {
        let (request, reply) = exchange(&mut random);
        match random.below(10) {
            // Somebody else's exchange. What is on the line is not paced by anybody's answer, but by silence.
            0..5 => {
                let unit = OTHERS[random.below(3) as usize];
                for pdu in [request, reply] {
                    let mut frame = rtu(unit, &pdu);
                    random.corrupt(&mut frame);
                    bus.say(&frame);
                    silence(&mut bus).await;
                }
                foreign += 1;
            }
            5 => {
                let bytes: Vec<u8> = (0..=random.below(12)).map(|_| random.byte()).collect();
                bus.say(&bytes);
                silence(&mut bus).await;
                noise += 1;
            }
            _ => {
                let mut frame = rtu(OURS, &request);
                if random.corrupt(&mut frame) {
                    bus.say(&frame);
                    let expected = rtu(OURS, &reply);
                    let answer = tokio::time::timeout(LONG, bus.hear(expected.len())).await;
                    let answer = answer.unwrap_or_else(|_| panic!("no answer to {frame:02x?}, exchange {asked}"));
                    assert_eq!(answer, expected, "to {frame:02x?}, exchange {asked}");
                    asked += 1;
                } else {
                    bus.say(&frame);
                    damaged += 1;
                }
                silence(&mut bus).await;
            }
        }
    }
    assert_eq!(bus.hear_all().await, [], "nothing else was answered");
    assert_eq!(server.statistics().requests, asked, "nothing else was executed");
    #[expect(clippy::print_stdout, reason = "what a long run came to")]
    {
        println!(
            "{asked} answered; {damaged} damaged, {foreign} exchanges of others and {noise} bursts of noise were not"
        );
    }
}

/// Waits for t3.5 and a little more. Nobody has anything to say then.
async fn silence(bus: &mut Bus) {
    let said = bus.hear_before(tokio::time::Instant::now() + Duration::from_millis(2)).await;
    assert_eq!(said, None, "something was answered that was for nobody");
}
