//! Framings of one's own: what one has to say so that client and server work with it.

use core::panic::RefUnwindSafe;

use super::length::{CustomLength, Length, request_length_with, response_length_with};
use super::{Decoded, Side};
use crate::UnitId;

/// A framing that this crate does not know: see [`Framing::Custom`](super::Framing::Custom). It keeps no state; what it
/// knows of a line is in the bytes that it is shown.
///
/// This one puts two bytes of length and the unit before each PDU. Its frames have no transaction id, so a client has one
/// request out at a time.
///
/// ```
/// use dinrail_proto::adu::{Adu, Decoded, Decoder, Discard, Framer, Reading, Side};
/// use dinrail_proto::{Framing, UnitId};
///
/// struct Prefixed;
///
/// impl Framer for Prefixed {
///     fn name(&self) -> &'static str {
///         "prefixed"
///     }
///
///     fn pdu_offset(&self) -> usize {
///         3
///     }
///
///     fn adu_length(&self, pdu_length: usize) -> usize {
///         3 + pdu_length
///     }
///
///     fn decode<'a>(&self, bytes: &'a mut [u8], reading: &Reading) -> Decoded<'a> {
///         let whole = bytes.len();
///         match *bytes {
///             [high, low, ..] => match u16::from_be_bytes([high, low]) {
///                 field @ 2..=254 if whole >= 2 + usize::from(field) => {
///                     let length = 2 + usize::from(field);
///                     let adu = Adu { transaction: 0, unit: UnitId(bytes[2]), pdu: &bytes[3..length] };
///                     Decoded::Frame { adu, length }
///                 }
///                 2..=254 if reading.at_end => Decoded::Skip { length: whole, reason: Discard::Broken },
///                 2..=254 => Decoded::Incomplete,
///                 length => Decoded::Unframeable { length },
///             },
///             [_] if reading.at_end => Decoded::Skip { length: 1, reason: Discard::Broken },
///             _ => Decoded::Incomplete,
///         }
///     }
///
///     fn complete(&self, _transaction: u16, unit: UnitId, pdu_length: usize, frame: &mut [u8]) -> usize {
///         frame[..2].copy_from_slice(&(pdu_length as u16 + 1).to_be_bytes());
///         frame[2] = unit.0;
///         3 + pdu_length
///     }
/// }
///
/// let framing = Framing::Custom(&Prefixed);
/// let mut line = [0; 64];
/// let adu = Adu { transaction: 0, unit: UnitId(17), pdu: &[3, 0, 107, 0, 3] };
/// let length = framing.encode(&adu, &mut line)?;
/// assert_eq!(line[..length], [0, 6, 17, 3, 0, 107, 0, 3]);
/// let decoder = Decoder::new(framing, Side::Requests);
/// assert_eq!(decoder.decode(&mut line[..length], false), Decoded::Frame { adu, length });
/// # Ok::<(), dinrail_proto::error::EncodeError>(())
/// ```
pub trait Framer: Sync + RefUnwindSafe {
    /// What it is called in logs. Two custom framings are the same when their names are.
    fn name(&self) -> &'static str;

    /// Whether frames carry a transaction id: then several requests may be out at a time, and a late reply is told from
    /// another's. Default no.
    fn has_transactions(&self) -> bool {
        false
    }

    /// Whether frames carry a unit. Without one a request is for whoever is at the other end. Default yes.
    fn has_units(&self) -> bool {
        true
    }

    /// Whether several devices share the line: then unit 0 is a broadcast, which is not answered, and a server hears the
    /// requests and replies of others. Default no: a line has two ends, and unit 0 is as good as others.
    fn is_shared_line(&self) -> bool {
        false
    }

    /// Where the PDU stands in the buffer when a frame is [completed](Self::complete).
    fn pdu_offset(&self) -> usize;

    /// How many bytes the frame of a PDU of `pdu_length` bytes (1 to 253) takes on the line at most, and in the buffer
    /// while it is completed: at least [`pdu_offset`](Self::pdu_offset)` + pdu_length`, never less than for a shorter PDU,
    /// and not above [`MAX_ADU`](super::MAX_ADU).
    fn adu_length(&self, pdu_length: usize) -> usize;

    /// What stands at the front of `bytes`, as [`Decoder::decode`](super::Decoder::decode) says it.
    ///
    /// A frame may be changed in place, and other bytes may not. The answer must not depend on the pieces in which the
    /// bytes come, unless they are the last of a burst. Transaction and unit of a framing without them do not matter.
    ///
    /// An answer that cannot be is taken for a broken frame, and costs all bytes shown: a frame without a PDU or with one
    /// above 253 bytes, one longer than the bytes, a skip of nothing, and [`Decoded::Incomplete`] for as many bytes as the
    /// longest frame has or at the end of a burst.
    fn decode<'a>(&self, bytes: &'a mut [u8], reading: &Reading) -> Decoded<'a>;

    /// Makes a frame of the PDU that stands in `frame` at [`pdu_offset`](Self::pdu_offset), and returns its length in
    /// bytes. `frame` has [`adu_length`](Self::adu_length) bytes, and the frame begins at its front.
    fn complete(&self, transaction: u16, unit: UnitId, pdu_length: usize, frame: &mut [u8]) -> usize;
}

/// How a [`Framer`] is to read a line.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Reading {
    /// Whose frames may stand there.
    pub side: Side,
    /// No more bytes of this burst will come: everything is to be decided now.
    pub at_end: bool,
    pub(super) custom: &'static [CustomLength],
}

impl Reading {
    /// How long the PDU of the request at the front of `pdu` is, [custom functions](CustomLength) included. For framings
    /// that do not say it themselves.
    pub fn request_length(&self, pdu: &[u8]) -> Length {
        request_length_with(self.custom, pdu)
    }

    /// How long the PDU of the reply at the front of `pdu` is, as [`request_length`](Self::request_length).
    pub fn response_length(&self, pdu: &[u8]) -> Length {
        response_length_with(self.custom, pdu)
    }
}
