//! Frames found in the bytes of one direction of a line, for those who only look on: taps and sniffers.

use crate::proto::Adu;
use crate::proto::adu::{Decoded, Decoder, Discard, MAX_ADU};

/// Garbage is reported at the latest when there is so much of it, in bytes.
const MAX_GARBAGE: usize = 512;

/// The bytes that have come and belong to no frame yet. At most one frame's worth.
pub(crate) struct Window {
    decoder: Decoder,
    bytes: Vec<u8>,
    garbage: Vec<u8>,
    raw: Vec<u8>,
    reason: Discard,
}

/// What was found.
pub(crate) enum Found<'a> {
    /// A frame, and its bytes as they were on the line.
    Frame(Adu<'a>, &'a [u8]),
    /// Bytes that are no frame for anybody.
    Garbage(&'a [u8], Discard),
}

impl Window {
    pub(crate) fn new(decoder: Decoder) -> Self {
        Self { decoder, bytes: Vec::new(), garbage: Vec::new(), raw: Vec::new(), reason: Discard::Noise }
    }

    /// Whether bytes wait for others.
    pub(crate) fn is_waiting(&self) -> bool {
        !(self.bytes.is_empty() && self.garbage.is_empty())
    }

    /// Takes bytes, and says what they make together with those before them. `at_end`: no more will come that belong to
    /// them.
    pub(crate) fn feed(&mut self, bytes: &[u8], at_end: bool, each: &mut dyn FnMut(Found<'_>)) {
        self.bytes.extend_from_slice(bytes);
        let mut used = 0;
        loop {
            // What a decoder returns borrows the bytes, and an ASCII frame is decoded in place: hence a copy.
            let end = self.bytes.len().min(used + MAX_ADU);
            self.raw.clear();
            self.raw.extend_from_slice(&self.bytes[used..end]);
            let (length, discard) = match self.decoder.decode(&mut self.bytes[used..], at_end) {
                Decoded::Frame { adu, length } => {
                    report(&mut self.garbage, self.reason, each);
                    each(Found::Frame(adu, &self.raw[..length]));
                    (length, None)
                }
                Decoded::Skip { length, reason } => (length, Some(reason)),
                Decoded::Unframeable { .. } => (self.bytes.len() - used, Some(Discard::Broken)),
                Decoded::Incomplete => break,
            };
            if let Some(reason) = discard {
                if self.garbage.is_empty() {
                    self.reason = reason;
                }
                self.garbage.extend_from_slice(&self.bytes[used..used + length]);
            }
            used += length;
        }
        self.bytes.drain(..used);
        if at_end || self.garbage.len() >= MAX_GARBAGE || !self.decoder.framing().is_shared_line() {
            report(&mut self.garbage, self.reason, each);
        }
    }
}

fn report(garbage: &mut Vec<u8>, reason: Discard, each: &mut dyn FnMut(Found<'_>)) {
    if !garbage.is_empty() {
        each(Found::Garbage(garbage, reason));
        garbage.clear();
    }
}
