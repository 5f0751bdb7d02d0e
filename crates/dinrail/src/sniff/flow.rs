//! TCP as a capture has it, put in order: segments that come twice, late or not at all.

use std::collections::BTreeMap;

/// So many bytes may wait for those before them; then these are taken for missing.
const MAX_WAITING: usize = 256 * 1024;
/// So many segments may wait. A segment that is lost for a capture and not for its receiver is noticed after these.
const MAX_SEGMENTS: usize = 64;

/// One direction of a connection.
#[derive(Default)]
pub(super) struct Flow {
    /// The sequence number of the next byte; `None` before anything has come.
    next: Option<u32>,
    /// Segments ahead of that, by their distance from the first byte ever, which does not wrap.
    waiting: BTreeMap<u64, Vec<u8>>,
    /// Bytes so far.
    offset: u64,
    waiting_bytes: usize,
}

/// What comes out in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Bytes(Vec<u8>),
    /// So many bytes are missing.
    Gap(u32),
}

impl Flow {
    /// A connection begins: `sequence` is that of SYN.
    pub(super) fn begin(&mut self, sequence: u32) {
        *self = Self { next: Some(sequence.wrapping_add(1)), ..Self::default() };
    }

    /// Whether anything has come.
    pub(super) fn is_begun(&self) -> bool {
        self.next.is_some()
    }

    /// Whether a SYN with this sequence number begins another connection.
    pub(super) fn is_other(&self, sequence: u32) -> bool {
        self.next.is_some_and(|next| self.offset > 0 || next != sequence.wrapping_add(1))
    }

    /// Takes a segment, and says what is in order now.
    pub(super) fn segment(&mut self, sequence: u32, bytes: &[u8], out: &mut Vec<Part>) {
        if bytes.is_empty() {
            return;
        }
        let next = *self.next.get_or_insert(sequence);
        // The distance is a small number, forward or back: sequence numbers wrap.
        let ahead = sequence.wrapping_sub(next).cast_signed();
        match usize::try_from(ahead) {
            Ok(0) => self.take(bytes.to_vec(), out),
            Ok(ahead) => {
                self.waiting_bytes += bytes.len();
                let before = self.waiting.insert(self.offset + ahead as u64, bytes.to_vec());
                self.waiting_bytes -= before.map_or(0, |before| before.len());
            }
            // Sent again; with new bytes behind the old ones, perhaps.
            Err(_) => match bytes.get(ahead.unsigned_abs() as usize..) {
                Some(new) if !new.is_empty() => self.take(new.to_vec(), out),
                _ => return,
            },
        }
        self.take_waiting(out);
        if self.waiting_bytes > MAX_WAITING || self.waiting.len() > MAX_SEGMENTS {
            self.skip(out);
        }
    }

    /// There will be no more: what waits is taken over the gaps.
    pub(super) fn end(&mut self, out: &mut Vec<Part>) {
        while !self.waiting.is_empty() {
            self.skip(out);
        }
    }

    /// Gives up the bytes before the first segment that waits.
    fn skip(&mut self, out: &mut Vec<Part>) {
        if let Some((at, _)) = self.waiting.first_key_value() {
            let missing = (at - self.offset) as u32; // a distance of sequence numbers
            out.push(Part::Gap(missing));
            self.advance(missing);
            self.take_waiting(out);
        }
    }

    fn take_waiting(&mut self, out: &mut Vec<Part>) {
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > self.offset {
                break;
            }
            let (at, mut bytes) = entry.remove_entry();
            self.waiting_bytes -= bytes.len();
            let old = (self.offset - at) as usize;
            if old < bytes.len() {
                self.take(bytes.split_off(old), out);
            }
        }
    }

    fn take(&mut self, bytes: Vec<u8>, out: &mut Vec<Part>) {
        self.advance(bytes.len() as u32); // a segment is shorter than 64 KB
        out.push(Part::Bytes(bytes));
    }

    fn advance(&mut self, count: u32) {
        self.next = self.next.map(|next| next.wrapping_add(count));
        self.offset += u64::from(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(start: u32, segments: &[(u32, &[u8])]) -> Vec<Part> {
        let (mut flow, mut out) = (Flow::default(), Vec::new());
        flow.begin(start.wrapping_sub(1));
        for (at, bytes) in segments {
            flow.segment(start.wrapping_add(*at), bytes, &mut out);
        }
        flow.end(&mut out);
        out
    }

    fn bytes(parts: &[Part]) -> Vec<u8> {
        let bytes = |part: &Part| match part {
            Part::Bytes(bytes) => bytes.clone(),
            Part::Gap(missing) => panic!("{missing} bytes are missing"),
        };
        parts.iter().flat_map(bytes).collect()
    }

    #[test]
    fn segments_in_any_order_and_several_times_are_put_in_order() {
        for start in [0, 1000, u32::MAX - 3] {
            let table: [&[(u32, &[u8])]; 5] = [
                &[(0, b"abc"), (3, b"def"), (6, b"gh")],
                &[(3, b"def"), (6, b"gh"), (0, b"abc")],
                &[(0, b"abc"), (0, b"abc"), (3, b"def"), (3, b"defgh"), (6, b"gh")],
                &[(0, b"abc"), (2, b"cdefgh"), (1, b"b")],
                &[(6, b"gh"), (2, b"cde"), (4, b"efg"), (0, b"abcd")],
            ];
            for segments in table {
                assert_eq!(bytes(&parts(start, segments)), b"abcdefgh", "{start}: {segments:?}");
            }
        }
    }

    #[test]
    fn what_never_comes_is_a_gap() {
        let out = parts(7, &[(0, b"ab"), (5, b"f"), (8, b"ij"), (6, b"g")]);
        let expected = [
            Part::Bytes(b"ab".to_vec()),
            Part::Gap(3),
            Part::Bytes(b"f".to_vec()),
            Part::Bytes(b"g".to_vec()),
            Part::Gap(1),
            Part::Bytes(b"ij".to_vec()),
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn a_gap_is_noticed_after_a_while() {
        let (mut flow, mut out) = (Flow::default(), Vec::new());
        flow.segment(0, b"a", &mut out);
        for at in 0..200 {
            flow.segment(10 + at, &[1], &mut out);
        }
        assert_eq!(out[1], Part::Gap(9));
        assert_eq!(bytes(&out[2..]), [1; 200]);
    }

    #[test]
    fn a_capture_may_begin_in_the_middle() {
        let (mut flow, mut out) = (Flow::default(), Vec::new());
        flow.segment(4_000_000_000, b"a", &mut out);
        flow.segment(4_000_000_001, b"b", &mut out);
        assert_eq!(bytes(&out), b"ab");
    }
}
