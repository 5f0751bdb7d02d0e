//! The client's state machine, frame by frame, in virtual time.

mod serial;
mod tcp;

use std::time::Duration;

use dinrail_proto::client::{CallId, Connection, Outcome};
use dinrail_proto::pdu::Area;
use dinrail_proto::{Instant, Pdu, Request, UnitId};

const TIMEOUT: Duration = Duration::from_secs(1);
const UNIT: UnitId = UnitId(7);

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn read(address: u16, count: u16) -> Pdu {
    Request::Read { area: Area::HoldingRegister, address, count }.encode().expect("a legal request")
}

fn input<const N: usize>(connection: &mut Connection<N>, now: Instant, bytes: &[u8]) -> usize {
    connection.handle_input(now, &mut bytes.to_vec()).expect("frames")
}

fn response(bytes: &[u8]) -> Option<Outcome> {
    Some(Outcome::Response(Pdu::new(bytes).expect("a PDU")))
}

fn started<const N: usize>(connection: &mut Connection<N>, request: &Pdu) -> CallId {
    connection.start(UNIT, request, TIMEOUT).expect("a free slot")
}
