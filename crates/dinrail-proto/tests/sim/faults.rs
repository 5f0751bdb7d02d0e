//! What goes wrong on a line, and what does not, because nobody could tell it from what is right.
//!
//! TCP: replies are delayed beyond their timeout, come twice, come out of order or never, in any pieces; frames of
//! foreign transactions, and of open transactions from other units, with other functions or lengths, are mixed in; the
//! connection breaks. Bytes are not changed: TCP has a checksum of its own, and Modbus TCP has none.
//!
//! Bare PDUs: as TCP, over which they go, but nothing is mixed in and nothing comes twice, since nothing in a PDU would
//! tell it from the answer.
//!
//! Serial lines: the same as TCP, and bits flip, requests and replies vanish or break in the middle, noise comes, the line
//! echoes. Left out:
//! - More than three flipped bits in an RTU frame, one in an ASCII frame: beyond what CRC and LRC are sure to find; binary frames as RTU.
//! - The top bit of an RTU frame's function code. It makes an answer an exception, which is shorter: the CRC is looked for
//!   in another place, so what it promises of flipped bits no longer holds, and once in 65536 times there is one.
//! - A reply that comes later than the quarantine. Nothing in the frame tells it from the answer to the next request.
//! - A second copy of a reply that comes after t3.5 of silence: by then the next request may be out. Copies come right
//!   behind the original.
//! - A frame of the unit and the function that was asked, and of the right length: that is what an answer is. Foreign
//!   frames come from units that are not on the line, or differ in function or length.
//! - An echo that the client was not told of, of a function that is answered by its own request (FC 5, 6, 22): the echo
//!   is what the answer would be.
//! - Devices that talk at the same time. What comes of it is noise, and noise there is.

use crate::rng::Rng;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// All that is told of here.
    Everything,
    /// Replies come after their timeouts, and all calls are alike.
    LateReplies,
}

/// What happens to one reply.
#[derive(Default)]
pub(crate) struct Fate {
    pub(crate) lost: bool,
    /// Comes after the timeout.
    pub(crate) late: bool,
    pub(crate) copies: usize,
    pub(crate) flips: u64,
    /// Breaks off, or pauses for longer than t3.5, in its middle.
    pub(crate) broken: bool,
    pub(crate) paused: bool,
    /// Something else comes before it.
    pub(crate) foreign: bool,
}

impl Fate {
    /// Nothing goes wrong.
    fn good() -> Self {
        Self { copies: 1, ..Self::default() }
    }

    /// Half of the replies come after their timeouts, and nothing else goes wrong.
    fn late(rng: &mut Rng) -> Self {
        Self { late: rng.chance(50), ..Self::good() }
    }

    pub(crate) fn choose(rng: &mut Rng, trouble: Option<Trouble>, serial: bool, most_flips: u64) -> Self {
        match trouble {
            None => Self::good(),
            Some(Trouble::Everything) => Self::any(rng, serial, most_flips),
            Some(Trouble::LateReplies) => Self::late(rng),
        }
    }

    fn any(rng: &mut Rng, serial: bool, most_flips: u64) -> Self {
        Self {
            lost: rng.chance(8),
            late: rng.chance(12),
            copies: if rng.chance(8) { 2 } else { 1 },
            flips: if serial && rng.chance(8) { rng.within(1, most_flips) } else { 0 },
            broken: serial && rng.chance(4),
            paused: serial && rng.chance(4),
            foreign: rng.chance(12),
        }
    }
}

/// The bit of an RTU frame that makes an exception of an answer; in ASCII it belongs to the unit, and is as good as others.
const TOP_OF_FUNCTION: usize = 8 + 7;

/// Flips so many bits, each one another.
pub(crate) fn flip(rng: &mut Rng, frame: &mut [u8], count: u64) {
    let mut flipped = Vec::new();
    while (flipped.len() as u64) < count {
        let bit = rng.within(0, frame.len() as u64 * 8 - 1) as usize;
        if bit != TOP_OF_FUNCTION && !flipped.contains(&bit) {
            flipped.push(bit);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// Cuts bytes into pieces of at most so many bytes.
pub(crate) fn split(rng: &mut Rng, bytes: &[u8], most: usize) -> Vec<Vec<u8>> {
    if rng.chance(50) {
        return bytes.chunks(most).map(<[u8]>::to_vec).collect();
    }
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, others) = rest.split_at(rng.within(1, rest.len().min(most) as u64) as usize);
        pieces.push(piece.to_vec());
        rest = others;
    }
    pieces
}
