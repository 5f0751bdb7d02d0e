//! The few Modbus TCP frames that are measured, and what every register must hold: both ends are checked against
//! [`value`], so that a fast wrong answer is an error and not a result.

use serde::{Deserialize, Serialize};

/// The unit that every request names.
pub const UNIT: u8 = 1;

/// An MBAP header: transaction, protocol, length, unit.
pub const HEADER: usize = 7;

/// Requests go to addresses below this, so that the longest block still ends inside the 65536 registers.
pub const ADDRESSES: u32 = 65_536 - 125;

const READ: u8 = 3;
const WRITE: u8 = 16;

/// What the register at `address` holds, always: writes write the same again.
pub const fn value(address: u16) -> u16 {
    address.wrapping_mul(7).wrapping_add(1)
}

/// The kinds of request that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Kind {
    /// Read 10 holding registers.
    #[value(name = "fc3x10")]
    Read10,
    /// Read 125 holding registers, the most there may be.
    #[value(name = "fc3x125")]
    Read125,
    /// Write 10 holding registers.
    #[value(name = "fc16x10")]
    Write10,
}

impl Kind {
    /// As the tables call it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Read10 => "fc3x10",
            Self::Read125 => "fc3x125",
            Self::Write10 => "fc16x10",
        }
    }

    const fn count(self) -> u16 {
        match self {
            Self::Read10 | Self::Write10 => 10,
            Self::Read125 => 125,
        }
    }
}

/// All registers as they look on the wire: requests and replies are slices of it.
pub struct Image(Box<[u8]>);

impl Image {
    /// The image of [`value`].
    pub fn new() -> Self {
        Self((0..=u16::MAX).flat_map(|address| value(address).to_be_bytes()).collect())
    }

    /// `count` registers from `address`; both are ours or a request's, and what runs past the end is cut off.
    pub fn registers(&self, address: u16, count: u16) -> &[u8] {
        let from = usize::from(address) * 2;
        let to = (from + usize::from(count) * 2).min(self.0.len());
        &self.0[from..to]
    }
}

/// Appends the request of `kind` at `address`.
pub fn push_request(out: &mut Vec<u8>, image: &Image, kind: Kind, transaction: u16, address: u16) {
    let count = kind.count();
    let [t0, t1] = transaction.to_be_bytes();
    let [a0, a1] = address.to_be_bytes();
    let [c0, c1] = count.to_be_bytes();
    match kind {
        Kind::Read10 | Kind::Read125 => {
            out.extend_from_slice(&[t0, t1, 0, 0, 0, 6, UNIT, READ, a0, a1, c0, c1]);
        }
        Kind::Write10 => {
            let values = image.registers(address, count);
            // 7 + 20 and 20: a frame of ten registers.
            let (length, bytes) = (7 + values.len() as u8, values.len() as u8);
            out.extend_from_slice(&[t0, t1, 0, 0, 0, length, UNIT, WRITE, a0, a1, c0, c1, bytes]);
            out.extend_from_slice(values);
        }
    }
}

/// Whether `frame` is the one right reply to the request of `kind` at `address`: unit, function, length, every value.
/// The transaction id is the caller's, who needed it to find the request.
pub fn is_right(frame: &[u8], image: &Image, kind: Kind, address: u16) -> bool {
    let count = kind.count();
    let Some((&[_, _, p0, p1, l0, l1, unit], pdu)) = frame.split_first_chunk() else { return false };
    if [p0, p1] != [0, 0] || unit != UNIT || usize::from(u16::from_be_bytes([l0, l1])) != pdu.len() + 1 {
        return false;
    }
    match (kind, pdu) {
        (Kind::Read10 | Kind::Read125, &[READ, bytes, ref values @ ..]) => {
            u16::from(bytes) == count * 2 && values == image.registers(address, count)
        }
        (Kind::Write10, &[WRITE, a0, a1, c0, c1]) => {
            u16::from_be_bytes([a0, a1]) == address && u16::from_be_bytes([c0, c1]) == count
        }
        _ => false,
    }
}

/// Appends the reply that a right request in `frame` gets, copied from the image: the floor's whole work. It validates
/// nothing; `None` means that the frame was none of those measured.
pub fn push_reply(out: &mut Vec<u8>, image: &Image, frame: &[u8]) -> Option<()> {
    let (&[t0, t1, .., unit, function, a0, a1, c0, c1], _) = frame.split_first_chunk::<12>()?;
    match function {
        READ => {
            let values = image.registers(u16::from_be_bytes([a0, a1]), u16::from_be_bytes([c0, c1]));
            let bytes = u8::try_from(values.len()).ok()?;
            let [l0, l1] = (u16::from(bytes) + 3).to_be_bytes();
            out.extend_from_slice(&[t0, t1, 0, 0, l0, l1, unit, READ, bytes]);
            out.extend_from_slice(values);
        }
        WRITE => out.extend_from_slice(&[t0, t1, 0, 0, 0, 6, unit, WRITE, a0, a1, c0, c1]),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Read10, Kind::Read125, Kind::Write10];

    #[test]
    fn the_canned_reply_is_right_and_any_flipped_byte_is_not() {
        let image = Image::new();
        for kind in KINDS {
            let (mut request, mut reply) = (Vec::new(), Vec::new());
            push_request(&mut request, &image, kind, 0x0102, 4711);
            push_reply(&mut reply, &image, &request).expect("one of ours");
            assert_eq!(reply[..2], [1, 2]);
            assert!(is_right(&reply, &image, kind, 4711), "{kind:?}");
            for at in 2..reply.len() {
                reply[at] ^= 0x10;
                assert!(!is_right(&reply, &image, kind, 4711), "{kind:?} byte {at}");
                reply[at] ^= 0x10;
            }
        }
    }

    #[test]
    fn a_reply_of_another_address_or_cut_short_is_not_right() {
        let image = Image::new();
        for kind in KINDS {
            let (mut request, mut reply) = (Vec::new(), Vec::new());
            push_request(&mut request, &image, kind, 1, 100);
            push_reply(&mut reply, &image, &request).expect("one of ours");
            assert!(!is_right(&reply, &image, kind, 101));
            for end in 0..reply.len() {
                assert!(!is_right(&reply[..end], &image, kind, 100));
            }
        }
    }
}
