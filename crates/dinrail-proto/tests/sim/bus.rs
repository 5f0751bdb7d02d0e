//! An RTU server on a bus with three others, whose requests and replies pass by, while one byte of a hundred is damaged.
//!
//! It must execute every *intact* request that is for it, and no other. A request for it, or a broadcast, is intact when
//! 1. its own bytes arrive as they were sent, with nothing between them;
//! 2. the reader is in step where it begins: t3.5 of silence (the end of a burst) stands before it, or a frame does that
//!    is itself intact in this sense and says how long it is; and
//! 3. no shorter part at its front has a right CRC, which happens once in 65536 times: then nobody can tell which it is.
//!
//! What follows does not matter, except for a function without a known length, which ends with the burst.
//!
//! A fifth of the silences are lost, as they are on USB adapters: frames run into each other, and a damaged one may take
//! with it those that follow in the same burst. They are not intact, and may be executed or not.
//!
//! "No other": what is executed was sent to this server or to all, byte for byte, in this burst. One exception is left,
//! which no CRC of 16 bits can rule out: once in 65536 times damaged bytes have a right CRC. They are counted.

use dinrail_proto::adu::{Length, crc16, request_length, response_length};
use dinrail_proto::pdu::diagnostics::Diagnostic;
use dinrail_proto::pdu::{Bits, Registers};
use dinrail_proto::server::{Connection, Event};
use dinrail_proto::{Area, ExceptionCode, Framing, FunctionCode, Pdu, Request, Response, UnitId};

use crate::rng::Rng;

const OURS: u8 = 1;
/// The units on the bus.
const UNITS: u64 = 4;

/// What a bus came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) frames: u64,
    pub(crate) damaged: u64,
    /// Requests for the server, and those of them that were intact.
    pub(crate) asked: u64,
    pub(crate) intact: u64,
    pub(crate) executed: u64,
    /// Damaged bytes with a right CRC.
    pub(crate) phantoms: u64,
}

/// A frame on its way.
struct Frame {
    bytes: Vec<u8>,
    /// It asks the server for something.
    asks: bool,
    /// Its length is told by its bytes.
    says: bool,
    damaged: bool,
}

impl Frame {
    fn new(unit: u8, pdu: &Pdu, is_request: bool) -> Self {
        let mut bytes = [&[unit], pdu.as_bytes()].concat();
        bytes.extend(crc16(&bytes).to_le_bytes());
        let length = if is_request { request_length } else { response_length };
        let known = matches!(length(pdu.as_bytes()), Length::Exact(said) | Length::Usually(said) if said == pdu.as_bytes().len());
        let ambiguous = (4..bytes.len()).any(|length| crc16(&bytes[..length]) == 0);
        let asks = is_request && (unit == OURS || unit == 0);
        Self { bytes, asks, says: known && !ambiguous, damaged: false }
    }

    fn pdu(&self) -> &[u8] {
        &self.bytes[1..self.bytes.len() - 2]
    }
}

pub(crate) fn run(seed: u64, frames: u64) -> Result<Report, String> {
    let mut rng = Rng::new(seed);
    let mut server = Connection::new(Framing::Rtu, UnitId(OURS).into());
    let (mut report, mut burst) = (Report::default(), Vec::new());
    while report.frames < frames {
        for frame in exchange(&mut rng) {
            let last = !frame.says || burst.len() == 8 || !rng.chance(20);
            burst.push(frame);
            report.frames += 1;
            if last {
                pass(&mut server, &mut rng, &mut burst, &mut report)
                    .map_err(|error| format!("frame {}: {error}", report.frames))?;
                burst.clear();
            }
        }
    }
    Ok(report)
}

/// A request and, if another unit is asked, its reply; ours is not heard by the server that sends it.
fn exchange(rng: &mut Rng) -> Vec<Frame> {
    let unit = if rng.chance(3) { 0 } else { rng.within(1, UNITS) as u8 };
    let (request, reply) = question(rng);
    let mut frames = vec![Frame::new(unit, &request, true)];
    if unit > OURS && !rng.chance(5) {
        let refused = Pdu::exception(request.function_byte(), ExceptionCode::from(rng.within(1, 11) as u8));
        frames.push(Frame::new(unit, if rng.chance(10) { &refused } else { &reply }, false));
    }
    frames
}

/// A legal request, and a legal reply to it.
fn question(rng: &mut Rng) -> (Pdu, Pdu) {
    let number = |rng: &mut Rng, most| {
        let most = if rng.chance(20) { most } else { 10 };
        rng.within(1, most) as u16
    };
    let values: Vec<u16> = (0..number(rng, 120)).map(|_| rng.next() as u16).collect();
    let bytes: Vec<u8> = (0..number(rng, 240)).map(|_| rng.next() as u8).collect();
    let registers = || Registers::from(values.as_slice());
    let count = values.len() as u16;
    let address = rng.within(0, 60_000) as u16;
    let (value, mask) = (rng.next() as u16, rng.next() as u16);
    let (request, reply) = match rng.within(0, 11) {
        0 | 1 => {
            let area = Area::HoldingRegister;
            (Request::Read { area, address, count }, Response::ReadRegisters { area, values: registers() })
        }
        2 => {
            let area = Area::InputRegister;
            (Request::Read { area, address, count }, Response::ReadRegisters { area, values: registers() })
        }
        3 => {
            let (area, bits) = (Area::Coil, Bits::from_packed(&bytes, bytes.len() * 8));
            let count = bits.len() as u16;
            (Request::Read { area, address, count }, Response::ReadBits { area, values: bits })
        }
        4 => (Request::WriteSingleRegister { address, value }, Response::WriteSingleRegister { address, value }),
        5 => {
            let value = value & 1 == 1;
            (Request::WriteSingleCoil { address, value }, Response::WriteSingleCoil { address, value })
        }
        6 => (
            Request::WriteMultipleRegisters { address, values: registers() },
            Response::WriteMultipleRegisters { address, count },
        ),
        7 => {
            let (and_mask, or_mask) = (value, mask);
            let reply = Response::MaskWriteRegister { address, and_mask, or_mask };
            (Request::MaskWriteRegister { address, and_mask, or_mask }, reply)
        }
        8 => {
            let (read_address, read_count, write_address) = (address, count, address);
            let values = registers();
            let request = Request::ReadWriteMultipleRegisters { read_address, read_count, write_address, values };
            (request, Response::ReadWriteMultipleRegisters(values))
        }
        9 => {
            let (sub_function, data) = (Diagnostic::RETURN_QUERY_DATA, &bytes[..bytes.len().min(2)]);
            (Request::Diagnostics { sub_function, data }, Response::Diagnostics { sub_function, data })
        }
        10 => (Request::ReportServerId, Response::ServerId(&bytes)),
        _ => {
            let function = FunctionCode::new(65).expect("a function code");
            (Request::Custom { function, data: &bytes }, Response::Custom { function, data: &bytes })
        }
    };
    (request.encode().expect("a legal request"), reply.encode().expect("a legal reply"))
}

/// A burst passes by, damaged as it may be.
fn pass(server: &mut Connection, rng: &mut Rng, burst: &mut [Frame], report: &mut Report) -> Result<(), String> {
    let mut line = Vec::new();
    for frame in burst.iter_mut() {
        for &byte in &frame.bytes {
            let damage = rng.within(0, 999);
            frame.damaged |= damage < 10;
            match damage {
                0 => {}
                1 => line.extend([rng.next() as u8, byte]),
                2..10 => line.push(byte ^ rng.within(1, 255) as u8),
                _ => line.push(byte),
            }
        }
        report.damaged += u64::from(frame.damaged);
    }
    let executed = listen(server, rng, &line)?;
    let mut in_step = true;
    let mut rest = executed.as_slice();
    for (at, frame) in burst.iter().enumerate() {
        let whole = frame.says || at + 1 == burst.len();
        let intact = in_step && !frame.damaged && whole && !is_ambiguous(&frame.bytes);
        in_step &= !frame.damaged && frame.says;
        if !frame.asks {
            continue;
        }
        report.asked += 1;
        report.intact += u64::from(intact);
        match rest.iter().position(|(unit, pdu)| (*unit, pdu.as_slice()) == (frame.bytes[0], frame.pdu())) {
            Some(place) => {
                report.phantoms += place as u64;
                report.executed += 1;
                rest = &rest[place + 1..];
            }
            None if intact => return Err(format!("{:02x?} was intact, and was not executed", frame.bytes)),
            None => {}
        }
    }
    report.phantoms += rest.len() as u64;
    Ok(())
}

fn is_ambiguous(frame: &[u8]) -> bool {
    (4..frame.len()).any(|length| crc16(&frame[..length]) == 0)
}

/// Shows a burst to the server in pieces, and then its end; what it executed.
fn listen(server: &mut Connection, rng: &mut Rng, line: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, String> {
    let (mut window, mut rest, mut executed) = (Vec::new(), line, Vec::new());
    let mut at_end = false;
    loop {
        let shown = window.len();
        let event = if at_end { server.end_of_burst(&mut window) } else { server.handle_input(&mut window) };
        let used = match event {
            Event::Request { adu, to, length } => {
                let mut out = [0; 256];
                let (unit, pdu) = (adu.unit.0, adu.pdu.to_vec());
                let written = server.exception(to, ExceptionCode::ServerDeviceBusy, &mut out);
                let right = if unit == 0 { 0 } else { 5 };
                if written != Ok(right) || (unit != 0 && (out[0] != OURS || crc16(&out[..right]) != 0)) {
                    return Err(format!("{written:?}, {out:02x?} answers {pdu:02x?} to unit {unit}"));
                }
                executed.push((unit, pdu));
                length
            }
            Event::Skip { length, .. } => length,
            Event::Wait if at_end && shown == 0 => return Ok(executed),
            Event::Wait if at_end => return Err("the end of a burst left bytes behind".into()),
            Event::Wait => {
                if shown >= 256 {
                    return Err("no decision on more bytes than a frame has".into());
                }
                at_end = rest.is_empty();
                let piece = rest.len().min(rng.within(1, 64) as usize);
                window.extend(&rest[..piece]);
                rest = &rest[piece..];
                continue;
            }
            Event::Close { length } => return Err(format!("closed for a frame of {length}")),
        };
        window.drain(..used);
    }
}
