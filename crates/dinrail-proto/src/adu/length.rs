//! How long a PDU will be, told from its first bytes: what RTU and bare PDUs need, since their frames carry no length.
//!
//! The same bytes read differently as a request and as a reply, so there is a function for each. Both look only at
//! bytes that belong to the PDU, and give the same answer however many bytes follow.

use crate::pdu::{FunctionCode, bytes_for_bits, device_id};

/// What the bytes of a PDU that have come so far say about its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Length {
    /// So many bytes, function code included.
    Exact(usize),
    /// More bytes are needed to tell.
    More,
    /// So many bytes, function code included, if the checksum is right then; else it ends where the line falls silent.
    Usually(usize),
    /// The bytes do not say: it ends where the line falls silent.
    Silence,
    /// No PDU starts like this.
    Impossible,
}

impl Length {
    /// The length of a PDU with a byte count at index `at` that counts the bytes behind it; index 0 is the function
    /// code.
    pub fn counted(pdu: &[u8], at: usize) -> Self {
        pdu.get(at).map_or(Self::More, |count| Self::Exact(at + 1 + usize::from(*count)))
    }

    /// Whether a whole PDU of this many bytes agrees.
    pub(super) const fn allows(self, length: usize) -> bool {
        match self {
            Self::Exact(exact) => exact == length,
            Self::Usually(_) | Self::Silence => true,
            Self::More | Self::Impossible => false,
        }
    }

    /// As [`counted`](Self::counted), for byte counts that are `allowed` only.
    fn counted_if(pdu: &[u8], at: usize, allowed: impl FnOnce(u8) -> bool) -> Self {
        match pdu.get(at) {
            Some(count) if !allowed(*count) => Self::Impossible,
            _ => Self::counted(pdu, at),
        }
    }
}

/// How long the PDUs of one function are, in one direction.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum LengthRule {
    /// Always so many bytes, function code included.
    Fixed(usize),
    /// There is a byte count at this index (0 is the function code), which counts the bytes behind it.
    ByteCountAt(usize),
    /// Computed from the bytes of the PDU so far, of which there is at least one, the function code.
    ///
    /// Bytes of the checksum and of later frames may follow. For more of the same bytes the function must not give
    /// another answer, except after [`Length::More`].
    Computed(fn(pdu: &[u8]) -> Length),
}

impl LengthRule {
    fn apply(self, pdu: &[u8]) -> Length {
        match self {
            Self::Fixed(length) => Length::Exact(length),
            Self::ByteCountAt(at) => Length::counted(pdu, at),
            Self::Computed(rule) => rule(pdu),
        }
    }
}

/// How long the PDUs of a custom function are, so that RTU can frame them without waiting for silence, and bare PDUs
/// without waiting for the end of the burst.
///
/// A rule for a function of the specification replaces the specification's. Exceptions need no rule.
#[derive(Clone, Copy, Debug)]
pub struct CustomLength {
    /// The function.
    pub function: FunctionCode,
    /// Its requests.
    pub request: LengthRule,
    /// Its replies, other than exceptions.
    pub response: LengthRule,
}

impl CustomLength {
    /// The lengths of requests and replies of `function`.
    pub const fn new(function: FunctionCode, request: LengthRule, response: LengthRule) -> Self {
        Self { function, request, response }
    }
}

/// How long the PDU of the request at the front of `pdu` is, as the specification says.
///
/// [`Length::Silence`] for functions that it does not define. [`Length::Usually`] for byte counts that contradict the
/// quantity beside them: such a request deserves an answer (03), and either may be the wrong one.
pub fn request_length(pdu: &[u8]) -> Length {
    let Some(&function) = pdu.first() else {
        return Length::More;
    };
    match function {
        0 | 0x80.. => Length::Impossible,
        1..=6 => Length::Exact(5),
        7 | 11 | 12 | 17 => Length::Exact(1),
        8 => diagnostics(pdu),
        15 => with_quantity(pdu, 3, bytes_for_bits),
        16 => with_quantity(pdu, 3, |registers| 2 * registers),
        20 | 21 => Length::counted(pdu, 1),
        22 => Length::Exact(7),
        23 => with_quantity(pdu, 7, |registers| 2 * registers),
        24 => Length::Exact(3),
        43 => match pdu.get(1) {
            None => Length::More,
            Some(&device_id::MEI_TYPE) => Length::Exact(4),
            Some(_) => Length::Silence,
        },
        _ => Length::Silence,
    }
}

/// How long the PDU of the reply at the front of `pdu` is, exceptions included, as the specification says.
///
/// [`Length::Silence`] for functions that it does not define.
pub fn response_length(pdu: &[u8]) -> Length {
    let Some(&function) = pdu.first() else {
        return Length::More;
    };
    match function {
        0 | 0x80 => Length::Impossible,
        0x81.. => Length::Exact(2),
        1 | 2 => Length::counted_if(pdu, 1, |count| (1..=250).contains(&count)),
        3 | 4 | 23 => Length::counted_if(pdu, 1, |count| (2..=250).contains(&count) && count % 2 == 0),
        5 | 6 | 11 | 15 | 16 => Length::Exact(5),
        7 => Length::Exact(2),
        8 => diagnostics(pdu),
        12 => Length::counted_if(pdu, 1, |count| (6..=70).contains(&count)),
        17 | 20 | 21 => Length::counted(pdu, 1),
        22 => Length::Exact(7),
        24 => match pdu {
            [_, high, low, ..] => match u16::from_be_bytes([*high, *low]) {
                count @ 2..=64 if count % 2 == 0 => Length::Exact(3 + usize::from(count)),
                _ => Length::Impossible,
            },
            _ => Length::More,
        },
        43 => match pdu.get(1) {
            None => Length::More,
            Some(&device_id::MEI_TYPE) => device_identification(pdu),
            Some(_) => Length::Silence,
        },
        _ => Length::Silence,
    }
}

/// The length of the reply that `request` asks for, where the request settles it; exceptions aside.
pub(super) fn expected_response(request: &[u8]) -> Option<usize> {
    let quantity = |at| Some(usize::from(u16::from_be_bytes([*request.get(at)?, *request.get(at + 1)?])));
    match request.first()? {
        1 | 2 => Some(2 + bytes_for_bits(quantity(3)?)),
        3 | 4 | 23 => Some(2 + 2 * quantity(3)?),
        5 | 6 | 11 | 15 | 16 => Some(5),
        7 => Some(2),
        8 | 21 | 22 => Some(request.len()),
        _ => None,
    }
}

/// Sub-function 0 carries any number of bytes, though hardly ever other than two; all others carry two.
fn diagnostics(pdu: &[u8]) -> Length {
    match pdu {
        [_, 0, 0, ..] => Length::Usually(5),
        [_, _, _, ..] => Length::Exact(5),
        _ => Length::More,
    }
}

/// A quantity at index `at` and behind it a byte count, which must be `bytes` of the quantity.
fn with_quantity(pdu: &[u8], at: usize, bytes: impl FnOnce(usize) -> usize) -> Length {
    let Some(&[high, low, count]) = pdu.get(at..).and_then(|rest| rest.first_chunk()) else {
        return Length::More;
    };
    let (quantity, count) = (usize::from(u16::from_be_bytes([high, low])), usize::from(count));
    let length = at + 3 + count;
    if bytes(quantity) == count { Length::Exact(length) } else { Length::Usually(length) }
}

/// Walks the objects, since only they say how long they are.
fn device_identification(pdu: &[u8]) -> Length {
    let Some(&objects) = pdu.get(6) else {
        return Length::More;
    };
    let mut length = 7;
    for _ in 0..objects {
        match pdu.get(length + 1) {
            Some(bytes) => length += 2 + usize::from(*bytes),
            None => return Length::More,
        }
    }
    Length::Exact(length)
}

/// The request reading with custom rules put before the specification's.
pub(super) fn request_length_with(rules: &[CustomLength], pdu: &[u8]) -> Length {
    match find(rules, pdu) {
        Some(rule) => rule.request.apply(pdu),
        None => request_length(pdu),
    }
}

/// The reply reading with custom rules put before the specification's.
pub(super) fn response_length_with(rules: &[CustomLength], pdu: &[u8]) -> Length {
    match find(rules, pdu) {
        Some(rule) => rule.response.apply(pdu),
        None => response_length(pdu),
    }
}

fn find<'r>(rules: &'r [CustomLength], pdu: &[u8]) -> Option<&'r CustomLength> {
    let function = *pdu.first()?;
    rules.iter().find(|rule| rule.function.code() == function)
}
