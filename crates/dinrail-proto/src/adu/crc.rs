//! The checksum of RTU frames: CRC-16 with polynomial A001h (reflected), start value FFFFh, low byte first (SL 2.5.1.2).

pub(super) const START: u16 = 0xFFFF;

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// The CRC of `bytes`; its low byte is sent first.
///
/// A frame with its CRC at the end has the CRC 0.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(START, |crc, byte| add(crc, *byte))
}

/// The CRC when one more byte follows.
#[inline]
pub(super) fn add(crc: u16, byte: u8) -> u16 {
    crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)]
}
