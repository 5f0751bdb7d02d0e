//! Framings beyond those of the specification: bare PDUs, pymodbus's binary frames, and framings of a reader's own. Row S001-8b, S001-22 and
//! S001-23 of the mission.

mod bare;
mod binary;
mod custom;
mod lengths;

use std::time::Duration;

use dinrail_proto::adu::{CustomLength, LengthRule};
use dinrail_proto::client::{self, CallId, Outcome};
use dinrail_proto::pdu::Area;
use dinrail_proto::server::{self, Event, ReplyTo};
use dinrail_proto::{FunctionCode, Instant, Pdu, Request, UnitId};

const TIMEOUT: Duration = Duration::from_secs(1);

/// A function of our own: three bytes of request, and a reply with a byte count at index 2.
const CUSTOM: &[CustomLength] = &[CustomLength {
    function: FunctionCode::new(65).unwrap(),
    request: LengthRule::Fixed(3),
    response: LengthRule::ByteCountAt(2),
}];

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn read(address: u16, count: u16) -> Pdu {
    Request::Read { area: Area::HoldingRegister, address, count }.encode().expect("a legal request")
}

fn response(bytes: &[u8]) -> Option<Outcome> {
    Some(Outcome::Response(Pdu::new(bytes).expect("a PDU")))
}

/// Starts a call and returns what goes out for it.
fn send<const N: usize>(
    client: &mut client::Connection<N>,
    now: Instant,
    unit: u8,
    request: &Pdu,
) -> (CallId, Option<Vec<u8>>) {
    let call = client.start(UnitId(unit), request, TIMEOUT).expect("a free slot");
    let mut out = vec![0; 2048];
    let length = client.poll_transmit(now, &mut out);
    (call, length.map(|length| out[..length].to_vec()))
}

fn receive<const N: usize>(client: &mut client::Connection<N>, now: Instant, bytes: &[u8]) -> usize {
    client.handle_input(now, &mut bytes.to_vec()).expect("frames")
}

/// What a server is asked by these bytes, which are used up.
fn asked(server: &mut server::Connection, window: &mut Vec<u8>, at_end: bool) -> Vec<(UnitId, Vec<u8>, ReplyTo)> {
    let mut asked = Vec::new();
    loop {
        let event = if at_end { server.end_of_burst(window) } else { server.handle_input(window) };
        let used = match event {
            Event::Request { adu, to, length } => {
                asked.push((adu.unit, adu.pdu.to_vec(), to));
                length
            }
            Event::Skip { length, .. } => length,
            Event::Wait => return asked,
            Event::Close { length } => panic!("closed by {length}"),
        };
        window.drain(..used);
    }
}
