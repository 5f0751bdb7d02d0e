//! What is encoded is decoded to the same, what is not legal is refused in the right order, and nothing panics.

use dinrail_proto::adu::{Expected, Length, request_length, response_length};
use dinrail_proto::error::ReplyError;
use dinrail_proto::{ExceptionCode, Request, Response, UnitId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::generate::{request, response_to};

/// A PDU that is likely to be of some use: a known function and small numbers.
fn likely_pdu() -> impl Strategy<Value = Vec<u8>> {
    let function = prop_oneof![1..=24u8, Just(43), any::<u8>()];
    let byte = prop_oneof![3 => 0..=16u8, 1 => Just(0xFF), 2 => any::<u8>()];
    (function, vec(byte, 0..=260)).prop_map(|(function, mut bytes)| {
        bytes.insert(0, function);
        bytes
    })
}

/// What AP 6 says about a request for one range of items, told in other words than the library's.
fn expected(function: u8, address: u16, count: u16, byte_count: usize, there: usize) -> Result<(), ExceptionCode> {
    let (max, bytes) = match function {
        1 | 2 => (2000, 0),
        3 | 4 => (125, 0),
        15 => (1968, (0..count).step_by(8).count()),
        _ => (123, (0..count).map(|_| 2).sum()),
    };
    if count == 0 || count > max || byte_count != bytes || there != bytes {
        return Err(ExceptionCode::IllegalDataValue);
    }
    let last = u64::from(address) + u64::from(count) - 1;
    if last > 65535 { Err(ExceptionCode::IllegalDataAddress) } else { Ok(()) }
}

/// The short ways to decode a request give what the long one gives, for their kinds of request and for no other.
fn same_by_the_short_ways(pdu: &[u8]) -> Result<(), TestCaseError> {
    let (read, write) = match Request::decode(pdu) {
        Ok(Request::Read { area, address, count }) if !area.is_bits() => (Some((area, address, count)), None),
        Ok(Request::WriteMultipleRegisters { address, values }) => (None, Some((address, values))),
        _ => (None, None),
    };
    prop_assert_eq!(Request::decode_register_read(pdu), read);
    prop_assert_eq!(Request::decode_register_write(pdu), write);
    Ok(())
}

fn near(limits: &'static [u16]) -> impl Strategy<Value = u16> {
    let around = (proptest::sample::select(limits), -2..=2i32);
    prop_oneof![around.prop_map(|(limit, offset)| (i32::from(limit) + offset) as u16), any::<u16>()]
}

proptest! {
    #[test]
    fn requests_round_trip(request in request()) {
        let pdu = request.encode().expect("legal");
        same_by_the_short_ways(pdu.as_bytes())?;
        prop_assert_eq!(Request::decode(pdu.as_bytes()), Ok(request));
        prop_assert_eq!(pdu.function_byte(), request.function().code());
        let mut out = [0; 300];
        prop_assert_eq!(request.encode_into(&mut out), Ok(pdu.as_bytes().len()));
        prop_assert_eq!(&out[..pdu.as_bytes().len()], pdu.as_bytes());
        prop_assert!(request.encode_into(&mut out[..pdu.as_bytes().len() - 1]).is_err());
    }

    #[test]
    fn responses_round_trip(
        (request, response) in request().prop_flat_map(|request| (Just(request), response_to(request)))
    ) {
        let pdu = response.encode().expect("legal");
        prop_assert_eq!(Response::decode(&request, pdu.as_bytes()), Ok(response));
        prop_assert_eq!(response.function(), request.function());
    }

    /// The lengths that RTU frames by are those of the PDUs.
    #[test]
    fn lengths_are_those_of_the_pdus(
        (request, response) in request().prop_flat_map(|request| (Just(request), response_to(request)))
    ) {
        let agrees = |length, pdu: &[u8]| match length {
            Length::Exact(exact) => exact == pdu.len(),
            Length::Usually(_) => pdu.starts_with(&[8, 0, 0]),
            Length::Silence => matches!(pdu[0], 9 | 43 | 65..=72 | 90 | 100..=110 | 127),
            _ => false,
        };
        let (request, response) = (request.encode().expect("legal"), response.encode().expect("legal"));
        prop_assert!(agrees(request_length(request.as_bytes()), request.as_bytes()));
        prop_assert!(agrees(response_length(response.as_bytes()), response.as_bytes()));
        // What a client expects is what comes, and it knows the length of the usual functions' replies.
        let expected = Expected::reply_to(UnitId(1), request.as_bytes()).expect("a function code");
        let usual = matches!(request.function_byte(), 1..=8 | 11 | 15 | 16 | 21..=23);
        prop_assert_eq!(expected.length, usual.then_some(response.as_bytes().len()));
    }

    #[test]
    fn lengths_do_not_change_when_more_comes(pdu in likely_pdu()) {
        for of in [request_length, response_length] {
            let mut told = Length::More;
            for length in 0..=pdu.len() {
                let now = of(&pdu[..length]);
                prop_assert!(told == now || told == Length::More, "{:?} became {:?}", told, now);
                told = now;
            }
        }
    }

    #[test]
    fn what_is_decoded_is_encoded_to_the_same(pdu in likely_pdu()) {
        same_by_the_short_ways(&pdu)?;
        if let Ok(request) = Request::decode(&pdu) && pdu.len() <= 253 {
            let again = request.encode().expect("a decoded request is legal");
            let mut expected = pdu.clone();
            if let Request::WriteMultipleCoils { values, .. } = request && values.len() % 8 != 0 {
                // Unused bits are ignored, and sent as zeros.
                *expected.last_mut().expect("data") &= (1 << (values.len() % 8)) - 1;
            }
            prop_assert_eq!(again.as_bytes(), expected);
        }
    }

    #[test]
    fn any_reply_to_any_request_is_judged(request in request(), reply in likely_pdu(), as_asked: bool) {
        let mut reply = reply;
        if as_asked {
            reply[0] = request.function().code();
        }
        match Response::decode(&request, &reply) {
            Ok(response) if reply.len() <= 253 => {
                let again = response.encode().expect("a decoded reply is legal");
                prop_assert_eq!(again.as_bytes().len(), reply.len());
                prop_assert_eq!(Response::decode(&request, again.as_bytes()), Ok(response));
            }
            Ok(response) => {
                // Their lengths have no limit of their own; no decoder hands out so much.
                let any_length = matches!(response, Response::Custom { .. } | Response::ServerId(_));
                prop_assert!(any_length, "{:?}", response);
            }
            Err(ReplyError::Function { received, .. }) => prop_assert_eq!(received, reply[0]),
            Err(_) => {}
        }
    }

    #[test]
    fn exceptions_come_in_the_order_of_the_figures(
        function in proptest::sample::select(vec![1u8, 2, 3, 4, 15, 16]),
        address in near(&[0, 0xFF00, 0xFFFF]),
        count in near(&[0, 123, 125, 1968, 2000, 2040, 0x8000]),
        byte_count in prop_oneof![Just(None), any::<u8>().prop_map(Some)],
        there in prop_oneof![Just(None), (0..=246usize).prop_map(Some)],
    ) {
        let right = match function {
            15 => usize::from(count).div_ceil(8),
            16 => 2 * usize::from(count),
            _ => 0,
        };
        let byte_count = byte_count.unwrap_or(right as u8);
        let there = there.unwrap_or(right.min(246));
        let mut pdu = vec![function];
        pdu.extend(address.to_be_bytes());
        pdu.extend(count.to_be_bytes());
        let written = if function >= 15 {
            pdu.push(byte_count);
            pdu.resize(6 + there, 0xA5);
            (usize::from(byte_count), there)
        } else {
            (0, 0)
        };
        same_by_the_short_ways(&pdu)?;
        let decoded = Request::decode(&pdu).map(drop);
        prop_assert_eq!(decoded, expected(function, address, count, written.0, written.1));
    }

    #[test]
    fn exceptions_of_read_write_come_in_the_order_of_the_figures(
        read_address in near(&[0, 0xFF90, 0xFFFF]),
        read_count in near(&[0, 125, 0x8000]),
        write_address in near(&[0, 0xFF90, 0xFFFF]),
        write_count in near(&[0, 121, 0x8000]),
        byte_count in prop_oneof![3 => Just(None), 1 => any::<u8>().prop_map(Some)],
    ) {
        let byte_count = byte_count.unwrap_or((write_count as u8).wrapping_mul(2));
        let mut pdu = vec![23];
        for field in [read_address, read_count, write_address, write_count] {
            pdu.extend(field.to_be_bytes());
        }
        pdu.push(byte_count);
        pdu.resize(10 + usize::from(byte_count), 0);
        let counts = (1..=125).contains(&read_count) && (1..=121).contains(&write_count);
        let fits = |address: u16, count: u16| u64::from(address) + u64::from(count) <= 65536;
        let expected = if !counts || u64::from(byte_count) != 2 * u64::from(write_count) {
            Err(ExceptionCode::IllegalDataValue)
        } else if !fits(read_address, read_count) || !fits(write_address, write_count) {
            Err(ExceptionCode::IllegalDataAddress)
        } else {
            Ok(())
        };
        prop_assert_eq!(Request::decode(&pdu).map(drop), expected);
    }
}
