//! One read, all the whole frames it brought: what the load and the floor have in common. The buffer is the thread's;
//! a connection keeps only the bytes of a frame that has not arrived in full.

use std::io::{self, Read};

use crate::frame::HEADER;

/// More than sixteen of the longest frames, so that a burst is one read.
const SCRATCH: usize = 64 * 1024;

/// The longest frame the specification knows, counted from the unit on.
const LONGEST: usize = 254;

/// The buffer that a thread reads into.
pub struct Scratch(Box<[u8]>);

/// The beginning of a frame whose rest is still to come.
#[derive(Default)]
pub struct Leftover(Vec<u8>);

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burst {
    /// The socket had nothing.
    Empty,
    /// The socket had less than fits, so it is empty for now.
    Drained,
    /// The buffer was filled: there may be more.
    More,
    /// The other end has closed, or what it sent can't be framed.
    Ended,
}

impl Scratch {
    /// An empty buffer.
    pub fn new() -> Self {
        Self(vec![0; SCRATCH].into())
    }

    /// Reads once from `stream` and gives each whole frame to `each`.
    pub fn read_frames(
        &mut self,
        stream: &mut impl Read,
        leftover: &mut Leftover,
        mut each: impl FnMut(&[u8]),
    ) -> Burst {
        let kept = leftover.0.len();
        self.0[..kept].copy_from_slice(&leftover.0);
        let read = loop {
            match stream.read(&mut self.0[kept..]) {
                Ok(0) => return Burst::Ended,
                Ok(read) => break read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Burst::Empty,
                Err(_) => return Burst::Ended,
            }
        };
        let mut rest = &self.0[..kept + read];
        while let Some(length) = frame_length(rest) {
            let Ok(length) = length else { return Burst::Ended };
            let Some((frame, after)) = rest.split_at_checked(length) else { break };
            each(frame);
            rest = after;
        }
        leftover.0.clear();
        leftover.0.extend_from_slice(rest);
        if kept + read == self.0.len() { Burst::More } else { Burst::Drained }
    }
}

/// The whole length of the frame that `bytes` begins with, once its header is there.
fn frame_length(bytes: &[u8]) -> Option<Result<usize, Unframeable>> {
    let &[_, _, p0, p1, l0, l1, _] = bytes.first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    Some(match ([p0, p1], length) {
        ([0, 0], 2..=LONGEST) => Ok(HEADER - 1 + length),
        _ => Err(Unframeable),
    })
}

struct Unframeable;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Image, Kind, push_request};

    /// Gives its bytes in pieces, then would block.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn frames_come_out_whole_wherever_the_stream_is_cut() {
        let image = Image::new();
        let mut stream = Vec::new();
        for (transaction, kind) in [Kind::Read10, Kind::Write10, Kind::Read125].into_iter().enumerate() {
            push_request(&mut stream, &image, kind, transaction as u16, 5);
        }
        for cut in 1..stream.len() {
            let mut pieces = Pieces(vec![stream[..cut].to_vec(), stream[cut..].to_vec()]);
            let (mut scratch, mut leftover, mut seen) = (Scratch::new(), Leftover::default(), Vec::new());
            for _ in 0..2 {
                let burst = scratch.read_frames(&mut pieces, &mut leftover, |frame| seen.push(frame.to_vec()));
                assert_eq!(burst, Burst::Drained);
            }
            assert_eq!(seen.len(), 3, "cut at {cut}");
            assert_eq!(seen.concat(), stream);
        }
    }

    #[test]
    fn what_cannot_be_framed_ends_the_stream() {
        for garbage in [[0, 1, 0, 1, 0, 6, 1], [0, 1, 0, 0, 0, 1, 1], [0, 1, 0, 0, 1, 0, 1]] {
            let mut pieces = Pieces(vec![garbage.to_vec()]);
            let burst = Scratch::new().read_frames(&mut pieces, &mut Leftover::default(), |_| panic!("no frame"));
            assert_eq!(burst, Burst::Ended);
        }
    }
}
