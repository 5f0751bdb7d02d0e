//! A framing of one's own, for client and server over any transport. `cargo run --example custom_framing`
//!
//! This one is that of an imagined maker who saved bytes: a tilde, the unit, the PDU, and the sum of both. Its frames do not
//! say how long they are, so their ends are found as those of RTU frames are: by what the PDU says. For functions that the
//! specification does not define, a length rule says it.
#![allow(clippy::print_stdout, reason = "it is what the example is for")]

use dinrail::client::{self, Client};
use dinrail::proto::adu::{Adu, CustomLength, Decoded, Discard, Framer, Length, LengthRule, Reading, Side};
use dinrail::proto::{Framing, UnitId};
use dinrail::service::{Memory, Service as _};
use dinrail::transport::Tcp;
use dinrail::{Error, FunctionCode, Server, server};

struct Tilde;

/// What client and server are told to speak.
const TILDE: Framing = Framing::Custom(&Tilde);

/// What stands around the PDU: tilde and unit before it, the sum behind it.
const BEFORE: usize = 2;

impl Framer for Tilde {
    fn name(&self) -> &'static str {
        "tilde"
    }

    fn pdu_offset(&self) -> usize {
        BEFORE
    }

    fn adu_length(&self, pdu_length: usize) -> usize {
        BEFORE + pdu_length + 1
    }

    fn decode<'a>(&self, bytes: &'a mut [u8], reading: &Reading) -> Decoded<'a> {
        // Up to the next tilde it is noise.
        match bytes.iter().position(|byte| *byte == b'~') {
            Some(0) => {}
            None if bytes.is_empty() => return Decoded::Incomplete,
            noise => return Decoded::Skip { length: noise.unwrap_or(bytes.len()), reason: Discard::Noise },
        }
        let broken = Decoded::Skip { length: 1, reason: Discard::Broken };
        let pdu = bytes.get(BEFORE..).unwrap_or_default();
        let told = match reading.side {
            Side::Replies => reading.response_length(pdu),
            Side::Requests | Side::Bus => reading.request_length(pdu),
        };
        let length = match told {
            Length::Exact(length) | Length::Usually(length) => BEFORE + length + 1,
            Length::More if !reading.at_end => return Decoded::Incomplete,
            _ => return broken,
        };
        if bytes.len() < length {
            return if reading.at_end { broken } else { Decoded::Incomplete };
        }
        if sum(&bytes[1..length - 1]) != bytes[length - 1] {
            return broken;
        }
        let adu = Adu { transaction: 0, unit: UnitId(bytes[1]), pdu: &bytes[BEFORE..length - 1] };
        Decoded::Frame { adu, length }
    }

    fn complete(&self, _transaction: u16, unit: UnitId, pdu_length: usize, frame: &mut [u8]) -> usize {
        let end = BEFORE + pdu_length;
        (frame[0], frame[1]) = (b'~', unit.0);
        frame[end] = sum(&frame[1..end]);
        end + 1
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// A function of the maker's, whose requests are three bytes and whose replies have a byte count.
const NAME: FunctionCode = FunctionCode::new(0x55).expect("between 1 and 127");
static LENGTHS: &[CustomLength] = &[CustomLength::new(NAME, LengthRule::Fixed(3), LengthRule::ByteCountAt(1))];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (registers, name) = converse().await?;
    println!("read {registers:?} of {name:?}");
    Ok(())
}

/// Writes, reads, and asks the maker's function.
pub async fn converse() -> Result<(Vec<u16>, String), Error> {
    let service = Memory::new().with_function(NAME, async |_| Ok(b"\x04pump".to_vec()));
    let options = server::Options::default().with_framing(TILDE).with_custom_lengths(LENGTHS);
    let server = Server::tcp("127.0.0.1:0", service).with_options(options);
    let address = server.start().await?;

    let options = client::Options::default().with_custom_lengths(LENGTHS);
    let client = Client::connect_with(Tcp::new(address).with_framing(TILDE), options).await?;
    client.write_registers(0, &[0x7E7E, 2, 3]).await?; // two tildes are data here
    let registers = client.read_holding_registers(0, 3).await?;
    let name = client.custom(NAME, &[0, 1]).await?;
    server.stop().await;
    Ok((registers, String::from_utf8_lossy(&name[1..]).into_owned()))
}
