//! Registers to bytes and back, many at once: half the cost of a long reply is the turning of its registers.

/// Turns each item into another; both slices are equally long. It goes by blocks of a fixed length, which become a few
/// vector instructions each. What is left behind the last whole block is not done one by one but as one more block,
/// over items that are done already: of the 125 registers of the longest reply these are 13.
#[inline(always)]
pub(super) fn in_blocks<A, B>(from: &[A], to: &mut [B], turn: impl Fn(&A) -> B + Copy) {
    const BLOCK: usize = 16;
    let (whole, rest) = from.as_chunks::<BLOCK>();
    for (from, to) in whole.iter().zip(to.as_chunks_mut().0) {
        block(from, to, turn);
    }
    if rest.is_empty() || last_block::<BLOCK, A, B>(from, to, turn) {
        return;
    }
    // Fewer than a block: its two halves, which may overlap.
    if let (Some(from), Some(to)) = (from.first_chunk::<{ BLOCK / 2 }>(), to.first_chunk_mut()) {
        block(from, to, turn);
    }
    if last_block::<{ BLOCK / 2 }, A, B>(from, to, turn) {
        return;
    }
    for (to, from) in to.iter_mut().zip(from) {
        *to = turn(from);
    }
}

/// The last `N` items; `false` when there are fewer.
#[inline(always)]
fn last_block<const N: usize, A, B>(from: &[A], to: &mut [B], turn: impl Fn(&A) -> B) -> bool {
    match (from.last_chunk::<N>(), to.last_chunk_mut::<N>()) {
        (Some(from), Some(to)) => block(from, to, turn),
        _ => return false,
    }
    true
}

#[inline(always)]
fn block<const N: usize, A, B>(from: &[A; N], to: &mut [B; N], turn: impl Fn(&A) -> B) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = turn(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_turned_whatever_their_number() {
        for length in 0..=130 {
            let values: [u16; 130] = core::array::from_fn(|at| 0x0102 + 7 * at as u16);
            let mut bytes = [[0xEE; 2]; 131];
            in_blocks(&values[..length], &mut bytes[..length], |value| value.to_be_bytes());
            let expected = values[..length].iter().map(|value| [(value >> 8) as u8, *value as u8]);
            assert!(bytes[..length].iter().copied().eq(expected), "{length}");
            assert_eq!(bytes[length], [0xEE; 2], "{length}: what lies behind is not touched");

            let mut back = [0; 130];
            in_blocks(&bytes[..length], &mut back[..length], |pair| u16::from_be_bytes(*pair));
            assert_eq!(back[..length], values[..length]);
        }
    }
}
