//! PDUs: what is decoded is legal, and is encoded to the same bytes again.

use dinrail_proto::adu::{Length, request_length, response_length};
use dinrail_proto::pdu::MAX_PDU;
use dinrail_proto::{Request, Response};

/// A request's PDU.
pub fn request(pdu: &[u8]) {
    length_does_not_change(request_length, pdu);
    let pdu = &pdu[..pdu.len().min(MAX_PDU)];
    let Ok(request) = Request::decode(pdu) else { return };
    let again = request.encode().expect("a decoded request is legal");
    let mut expected = pdu.to_vec();
    if let Request::WriteMultipleCoils { values, .. } = request
        && values.len() % 8 != 0
    {
        // Unused bits are ignored, and sent as zeros.
        let last = expected.last_mut().expect("a coil has a byte");
        *last &= (1 << (values.len() % 8)) - 1;
    }
    assert_eq!(again.as_bytes(), expected);
    assert_eq!(Request::decode(again.as_bytes()), Ok(request));
    match request_length(pdu) {
        Length::Exact(length) => assert_eq!(length, pdu.len(), "RTU would frame this elsewhere"),
        Length::Usually(_) => assert!(pdu.starts_with(&[8, 0, 0])),
        Length::Silence => assert!(matches!(request, Request::Custom { .. })),
        other => panic!("RTU would never frame this: {other:?}"),
    }
}

/// The length of a request's PDU, that request, and the reply's PDU.
pub fn response(data: &[u8]) {
    let Some((&length, rest)) = data.split_first() else { return };
    let Some((request, reply)) = rest.split_at_checked(usize::from(length)) else { return };
    length_does_not_change(response_length, reply);
    let Ok(request) = Request::decode(request) else { return };
    let reply = &reply[..reply.len().min(MAX_PDU)];
    let Ok(response) = Response::decode(&request, reply) else { return };
    let again = response.encode().expect("a decoded reply is legal");
    assert_eq!(again.as_bytes().len(), reply.len());
    if !matches!(response, Response::ReadBits { .. } | Response::DeviceIdentification(_)) {
        // Those have bits and bytes that do not matter.
        assert_eq!(again.as_bytes(), reply);
    }
    assert_eq!(Response::decode(&request, again.as_bytes()), Ok(response));
    match response_length(reply) {
        Length::Exact(length) => assert_eq!(length, reply.len(), "RTU would frame this elsewhere"),
        Length::Usually(_) => assert!(reply.starts_with(&[8, 0, 0])),
        Length::Silence => assert!(matches!(response, Response::Custom { .. })),
        other => panic!("RTU would never frame this: {other:?}"),
    }
    if let Response::DeviceIdentification(identification) = response {
        assert!(identification.objects().count() <= MAX_PDU / 2);
    }
}

/// What the first bytes say about the length holds whatever follows.
fn length_does_not_change(of: fn(&[u8]) -> Length, pdu: &[u8]) {
    let mut told = Length::More;
    for length in 0..=pdu.len() {
        let now = of(&pdu[..length]);
        assert!(told == now || told == Length::More, "{told:?} became {now:?}");
        told = now;
    }
}
