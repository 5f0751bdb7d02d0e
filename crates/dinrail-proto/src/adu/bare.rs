//! Bare PDUs: no unit, no transaction, no checksum, no start and no end. Over TLS, nothing of that is missed but the end.
//!
//! A frame ends where its bytes say so. Where they do not say, it ends with the burst; that goes for functions without a
//! known length, for byte counts that contradict the quantity beside them, and for what is no PDU at all, which is
//! somebody else's to refuse. What can be told is that a PDU would be too long: then all that follows is out of step.

use super::length::{CustomLength, Length, request_length_with, response_length_with};
use super::{Adu, Decoded, Expected, Side};
use crate::UnitId;
use crate::pdu::MAX_PDU;

/// Looks at the front of the bytes. A bus of bare PDUs cannot be: both sides' frames are read as requests there.
pub(super) fn decode<'a>(side: Side, custom: &[CustomLength], bytes: &'a [u8], at_end: bool) -> Decoded<'a> {
    let pdu = longest(bytes);
    let length = match side {
        Side::Requests | Side::Bus => request_length_with(custom, pdu),
        Side::Replies => response_length_with(custom, pdu),
    };
    cut(length, bytes, at_end)
}

/// As [`decode`], where the reply's length is known from the request if not from the reply.
pub(super) fn decode_expected<'a>(
    custom: &[CustomLength],
    bytes: &'a [u8],
    at_end: bool,
    expected: &Expected,
) -> Decoded<'a> {
    let length = match (response_length_with(custom, longest(bytes)), expected.length) {
        (Length::Usually(_) | Length::Silence, Some(length)) if bytes[0] == expected.function.code() => {
            Length::Exact(length)
        }
        (length, _) => length,
    };
    cut(length, bytes, at_end)
}

/// What can belong to the first PDU: what follows must not change where it ends.
fn longest(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(MAX_PDU)]
}

fn cut(length: Length, bytes: &[u8], at_end: bool) -> Decoded<'_> {
    let known = match length {
        Length::Exact(length @ 1..=MAX_PDU) => Some(length),
        Length::Exact(length) => return Decoded::Unframeable { length: u16::try_from(length).unwrap_or(u16::MAX) },
        _ => None,
    };
    // Too short for what it claims to be, it is a PDU that deserves its refusal; and none is longer than the longest.
    let whole = if at_end { bytes.len().min(MAX_PDU) } else { MAX_PDU };
    let length = known.filter(|length| !at_end || *length <= bytes.len()).unwrap_or(whole);
    match bytes.get(..length) {
        Some(pdu @ [_, ..]) => Decoded::Frame { adu: Adu { transaction: 0, unit: UnitId::DIRECT, pdu }, length },
        _ => Decoded::Incomplete,
    }
}

/// A bare PDU is its own frame.
pub(super) const fn complete(_frame: &mut [u8]) {}
