//! The device's side of the world: what it makes of the bytes that reach it, and what it answers.

use std::time::Duration;

use dinrail_proto::server::{self, Event};
use dinrail_proto::{Adu, Framing, UnitId};

use super::{GAP, Happening, World};
use crate::call::{answer, number};
use crate::faults::{Fate, flip, split};

impl World {
    pub(super) fn serve(&mut self, at_end: bool) -> Result<(), String> {
        loop {
            let mut bytes = std::mem::take(&mut self.device_window.bytes);
            let event =
                if at_end { self.device.end_of_burst(&mut bytes) } else { self.device.handle_input(&mut bytes) };
            let used = match event {
                Event::Request { adu, to, length } => {
                    let pdu = answer(adu.unit, adu.pdu);
                    let number = number(adu.pdu);
                    self.executed.insert(number);
                    let mut out = [0; 513];
                    let written = self.device.reply(to, pdu.as_bytes(), &mut out).map_err(|error| error.to_string())?;
                    if written > 0 {
                        let adu = Adu { transaction: to.transaction(), unit: to.unit(), pdu: pdu.as_bytes() };
                        self.answer(number, &out[..written], &adu);
                    }
                    length
                }
                Event::Skip { length, .. } => length,
                Event::Wait => {
                    self.device_window.bytes = bytes;
                    return Ok(());
                }
                Event::Close { length } => return Err(format!("the device was sent a frame of length {length}")),
            };
            bytes.drain(..used);
            self.device_window.bytes = bytes;
        }
    }

    /// Sends the reply to a call on its way, to whatever fate.
    fn answer(&mut self, number: usize, frame: &[u8], adu: &Adu<'_>) {
        let (serial, most_flips) = (self.is_serial(), self.most_flips());
        let trouble = self.faulty.then_some(self.trouble);
        let mut fate = Fate::choose(&mut self.rng, trouble, serial, most_flips);
        if self.framing == Framing::Pdu {
            (fate.copies, fate.foreign) = (1, false);
        }
        let timeout = self.calls.get(number).map_or(Duration::ZERO, |call| call.timeout).as_micros() as u64;
        let sent = self.calls.get(number).and_then(|call| call.sent).unwrap_or_default().as_micros();
        // The client leaves the unit alone for its timeout and as long again. Pieces of a stream take a while to come.
        let limit = match self.framing {
            Framing::Tcp => u64::MAX,
            Framing::Pdu => (sent + 2 * timeout).saturating_sub(10_000),
            _ => sent + 2 * timeout,
        };
        let delay = if fate.late { timeout + self.rng.within(0, timeout) } else { self.rng.within(300, 5_000) };
        let when = self.now + delay;
        if fate.foreign {
            let bytes = self.foreign(adu);
            self.at(when, Happening::Emit { bytes, limit, pause: 0 });
        }
        if fate.lost {
            return;
        }
        let mut bytes = frame.to_vec();
        flip(&mut self.rng, &mut bytes, fate.flips);
        if fate.broken {
            bytes.truncate(self.rng.within(1, bytes.len() as u64) as usize);
        }
        let pause = if fate.paused && fate.copies == 1 { self.rng.within(GAP, 4 * GAP) } else { 0 };
        if fate.copies > 1 && serial {
            bytes.extend_from_slice(frame);
        } else if fate.copies > 1 {
            let again = when + self.rng.within(0, 2 * timeout);
            self.at(again, Happening::Emit { bytes: frame.to_vec(), limit, pause: 0 });
        }
        self.at(when, Happening::Emit { bytes, limit, pause });
    }

    /// A frame that looks much like the answer, and is not.
    pub(super) fn foreign(&mut self, adu: &Adu<'_>) -> Vec<u8> {
        // What another call would be answered, or would have been.
        let mut pdu: Vec<u8> =
            adu.pdu.iter().enumerate().map(|(at, byte)| byte ^ if at > 1 { 0x55 } else { 0 }).collect();
        let (mut transaction, mut unit) = (adu.transaction, adu.unit);
        match self.rng.within(0, 3) {
            0 if self.framing == Framing::Tcp => transaction ^= 0x8000,
            0 | 1 => unit = UnitId(unit.0 + 100),
            2 => pdu[0] ^= 0x40,
            _ if pdu[0] >= 0x80 || self.rng.chance(50) => pdu.extend([0, 0]),
            _ => {
                pdu.pop();
            }
        }
        if matches!(pdu[0], 1..=4) && pdu.len() > 2 {
            pdu[1] = pdu.len() as u8 - 2;
        }
        let mut out = [0; 600];
        let length = self.framing.encode(&Adu { transaction, unit, pdu: &pdu }, &mut out).expect("a PDU");
        out[..length].to_vec()
    }

    /// Lets the bytes go when the way is free.
    pub(super) fn emit(&mut self, bytes: &[u8], limit: u64, pause: u64) {
        let mut when = self.now.max(self.to_client_busy);
        if when + self.byte_time * bytes.len() as u64 + pause >= limit {
            return;
        }
        // A serial port tells of bytes before there could have been a silence, or silence would mean nothing.
        let most = (GAP / 2).checked_div(self.byte_time).map_or(usize::MAX, |bytes| bytes as usize);
        let pieces = split(&mut self.rng, bytes, most);
        let pause_before = self.rng.within(1, pieces.len() as u64) as usize;
        for (index, piece) in pieces.into_iter().enumerate() {
            when += self.byte_time * piece.len() as u64;
            when += if index == pause_before { pause } else { 0 };
            when += if self.is_serial() { 0 } else { self.rng.within(0, 300) };
            self.at(when, Happening::ToClient(piece));
        }
        self.to_client_busy = when;
    }
}

pub(super) fn device(framing: Framing) -> server::Connection {
    server::Connection::new(framing, (1..=3).map(UnitId).collect())
}
