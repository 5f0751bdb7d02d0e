//! Calls that can be told apart: each has addresses of its own, and what is read there or refused follows from them.

use std::time::Duration;

use dinrail_proto::client::{Failure, Outcome};
use dinrail_proto::pdu::{Area, Registers};
use dinrail_proto::{ExceptionCode, Instant, Pdu, Request, Response, UnitId};

use crate::rng::{Rng, mix};

/// Addresses of one call.
const STRIDE: u16 = 16;

pub(crate) struct Call {
    pub(crate) unit: UnitId,
    /// Who answers, as its request on the line says; without units on the line, always the same.
    pub(crate) device: UnitId,
    pub(crate) request: Pdu,
    pub(crate) timeout: Duration,
    /// When it went out and when its reply is no longer told from another one's: the end of the quarantine.
    pub(crate) sent: Option<Instant>,
    pub(crate) ended: Option<Instant>,
    pub(crate) cancelled: bool,
}

/// The call number `number`, as much like all others as can be: what one is answered would fit the next.
pub(crate) fn make_alike(number: u16, rng: &mut Rng) -> Call {
    let request = Request::Read { area: Area::HoldingRegister, address: number * STRIDE, count: 2 };
    let unit = UnitId(rng.within(1, 2) as u8);
    Call {
        unit,
        device: unit,
        request: request.encode().expect("a legal request"),
        timeout: Duration::from_millis(rng.within(20, 60)),
        sent: None,
        ended: None,
        cancelled: false,
    }
}

/// The call number `number`, of a kind that the dice choose.
pub(crate) fn make(number: u16, rng: &mut Rng, shared: bool) -> Call {
    let address = number * STRIDE;
    let count = rng.within(1, 8) as u16;
    let values: Vec<u16> = (0..count).map(|index| value(0, address + index)).collect();
    let bits: Vec<bool> = values.iter().map(|value| value & 1 == 1).collect();
    let broadcast = shared && rng.chance(5);
    let request = match rng.within(if broadcast { 5 } else { 0 }, 9) {
        0 | 1 => Request::Read { area: Area::HoldingRegister, address, count },
        2 => Request::Read { area: Area::InputRegister, address, count },
        // Sixteen bits at least: fewer would carry too little of the call's identity.
        3 | 4 => Request::Read { area: Area::Coil, address, count: 16 },
        5 => Request::WriteSingleRegister { address, value: values[0] },
        6 => Request::WriteSingleCoil { address, value: bits[0] },
        7 => Request::WriteMultipleRegisters { address, values: values.as_slice().into() },
        8 => Request::WriteMultipleCoils { address, values: bits.as_slice().into() },
        _ => Request::MaskWriteRegister { address, and_mask: value(1, address), or_mask: value(2, address) },
    };
    let unit = if broadcast { UnitId::BROADCAST } else { UnitId(rng.within(1, 3) as u8) };
    Call {
        unit,
        device: unit,
        request: request.encode().expect("a legal request"),
        timeout: Duration::from_millis(rng.within(40, 120)),
        sent: None,
        ended: None,
        cancelled: false,
    }
}

/// Which call a request is; noise that passes for a request may be none.
pub(crate) fn number(request: &[u8]) -> usize {
    match request {
        [_, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low]) / STRIDE),
        _ => usize::MAX,
    }
}

fn value(unit: u8, address: u16) -> u16 {
    mix(u64::from(unit) << 32 | u64::from(address)) as u16
}

/// What a device answers: every eleventh call or so is refused, with a code that follows from its address.
pub(crate) fn answer(unit: UnitId, pdu: &[u8]) -> Pdu {
    let Ok(request) = Request::decode(pdu) else {
        return Pdu::exception(pdu[0], ExceptionCode::IllegalDataValue);
    };
    let seed = mix(number(pdu) as u64);
    if seed.is_multiple_of(11) {
        return Pdu::exception(pdu[0], ExceptionCode::from((seed >> 8) as u8));
    }
    let response = match request {
        Request::Read { area, address, count } => {
            let values: Vec<u16> = (0..count).map(|index| value(unit.0, address + index)).collect();
            let bits: Vec<bool> = values.iter().map(|value| value & 1 == 1).collect();
            return if area.is_bits() {
                Response::ReadBits { area, values: bits.as_slice().into() }.encode()
            } else {
                Response::ReadRegisters { area, values: Registers::from(values.as_slice()) }.encode()
            }
            .expect("a legal response");
        }
        Request::WriteSingleRegister { address, value } => Response::WriteSingleRegister { address, value },
        Request::WriteSingleCoil { address, value } => Response::WriteSingleCoil { address, value },
        Request::WriteMultipleRegisters { address, values } => {
            Response::WriteMultipleRegisters { address, count: values.len() as u16 }
        }
        Request::WriteMultipleCoils { address, values } => {
            Response::WriteMultipleCoils { address, count: values.len() as u16 }
        }
        Request::MaskWriteRegister { address, and_mask, or_mask } => {
            Response::MaskWriteRegister { address, and_mask, or_mask }
        }
        _ => return Pdu::exception(pdu[0], ExceptionCode::IllegalFunction),
    };
    response.encode().expect("a legal response")
}

impl Call {
    /// Nobody receives another call's data: an answer must be the one that this call's device gives to this call.
    pub(crate) fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let right = answer(self.device, self.request.as_bytes());
        let received = match outcome {
            Outcome::Response(pdu) => *pdu,
            Outcome::Exception(code) => Pdu::exception(self.request.function_byte(), *code),
            Outcome::Sent if self.unit.is_broadcast() => return Ok(()),
            Outcome::Sent => return Err("a call that is to be answered ended without an answer".into()),
            Outcome::Failed(Failure::NotSent) => return Err("was not sent, though the line falls silent".into()),
            Outcome::Failed(_) => return Ok(()),
        };
        if received == right { Ok(()) } else { Err(format!("received {received:?}, right is {right:?}")) }
    }
}
