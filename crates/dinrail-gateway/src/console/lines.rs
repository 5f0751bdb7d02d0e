//! Lines of a peer, as long as they may be, and as long as they are text.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::LONGEST_LINE;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Text(String),
    /// A line without an end in sight.
    TooLong,
    /// Bytes that no line of text has.
    NoText,
    /// No more. What came without the end of a line may have been cut off and is nothing.
    End,
}

/// Cuts what is read into lines. It holds one line and what came with it in one read.
pub(super) struct Lines<R> {
    from: R,
    /// What was read and not returned yet; before `seen` there is no end of a line.
    bytes: Vec<u8>,
    seen: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn of(from: R) -> Self {
        Self { from, bytes: Vec::new(), seen: 0 }
    }

    /// Nothing is lost when this is given up while it waits.
    pub(super) async fn next(&mut self) -> std::io::Result<Line> {
        loop {
            let new = &self.bytes[self.seen..];
            let end = new.iter().position(|byte| *byte == b'\n').map(|at| self.seen + at);
            // Looked at as it comes: what is no text need not have lines.
            if self.bytes[self.seen..end.unwrap_or(self.bytes.len())].iter().any(|byte| is_control(*byte)) {
                return Ok(Line::NoText);
            }
            self.seen = self.bytes.len();
            match end {
                Some(end) if end < LONGEST_LINE => return Ok(self.take(end)),
                None if self.bytes.len() < LONGEST_LINE => {}
                _ => return Ok(Line::TooLong),
            }
            if self.from.read_buf(&mut self.bytes).await? == 0 {
                return Ok(Line::End);
            }
        }
    }

    fn take(&mut self, end: usize) -> Line {
        let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
        self.seen = 0;
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_or(Line::NoText, Line::Text)
    }
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Lines::of(bytes);
        let mut all = Vec::new();
        loop {
            let line = lines.next().await.expect("memory is readable");
            let is_last = !matches!(line, Line::Text(_));
            all.push(line);
            if is_last {
                return all;
            }
        }
    }

    fn text(line: &str) -> Line {
        Line::Text(line.to_owned())
    }

    #[tokio::test]
    async fn lines_end_with_lf_or_crlf_and_what_is_cut_off_is_nothing() {
        assert_eq!(all(b"a\nb c\r\n\n\tset").await, [text("a"), text("b c"), text(""), Line::End]);
        assert_eq!(all("äß\n".as_bytes()).await, [text("äß"), Line::End]);
    }

    #[tokio::test]
    async fn what_is_no_text_is_seen_before_any_of_its_lines() {
        for bytes in [&b"\x16\x03\x01\nset 1 hr 0 5\n"[..], b"\0\n", b"a\x7F", b"\xFF\xFE\nhelp\n", b"\x1B[2J\n"] {
            assert_eq!(all(bytes).await, [Line::NoText], "{bytes:?}");
        }
        assert_eq!(all(b"help\n\x01").await, [text("help"), Line::NoText]);
    }

    #[tokio::test]
    async fn a_line_has_its_length() {
        let longest = "x".repeat(LONGEST_LINE - 1);
        assert_eq!(all(format!("{longest}\n").as_bytes()).await, [text(&longest), Line::End]);
        assert_eq!(all(format!("{longest}x\n").as_bytes()).await, [Line::TooLong]);
        assert_eq!(all("y".repeat(10 * LONGEST_LINE).as_bytes()).await, [Line::TooLong]);
    }
}
