//! Big-endian bit fields, read and written; never past the end.

/// Reads bit fields.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits read so far.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// Bits left.
    pub(super) const fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.read(1).map(|bit| bit == 1)
    }

    /// Next `count` bits, at most 32.
    pub(super) fn read(&mut self, count: u32) -> Option<u32> {
        let mut value: u32 = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            value = value << 1 | u32::from(bit);
            self.at += 1;
        }
        Some(value)
    }

    /// As [`Self::read`], for at most 8 bits.
    pub(super) fn read_u8(&mut self, count: u32) -> Option<u8> {
        u8::try_from(self.read(count)?).ok()
    }

    /// A number below `limit` in as few bits as it takes: `ns(n)` (AV1 bitstream specification §4.10.7).
    pub(super) fn read_below(&mut self, limit: u32) -> Option<u32> {
        let width = u32::BITS - limit.leading_zeros();
        let short = (1_u32 << width) - limit;
        let value = self.read(width.checked_sub(1)?)?;
        if value < short { Some(value) } else { Some((value << 1) - short + self.read(1)?) }
    }
}

/// Writes bit fields over whatever a buffer holds; what is left of the last byte is zero.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> BitWriter<'a> {
    pub(super) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Appends the lowest `count` bits, at most 32. `None`: the buffer is full.
    pub(super) fn write(&mut self, value: u32, count: u32) -> Option<()> {
        for bit in (0..count).rev() {
            let byte = self.bytes.get_mut(self.at / 8)?;
            if self.at.is_multiple_of(8) {
                *byte = 0;
            }
            if value >> bit & 1 == 1 {
                *byte |= 1 << (7 - self.at % 8);
            }
            self.at += 1;
        }
        Some(())
    }

    /// Appends the next `count` bits of a reader.
    pub(super) fn copy(&mut self, from: &mut BitReader<'_>, count: usize) -> Option<()> {
        let mut left = u32::try_from(count).ok()?;
        while left > 0 {
            let step = left.min(32);
            self.write(from.read(step)?, step)?;
            left -= step;
        }
        Some(())
    }

    /// Bytes written, the last one padded.
    pub(super) const fn bytes_written(&self) -> usize {
        self.at.div_ceil(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut buffer = [0xaa; 6];
        let mut writer = BitWriter::new(&mut buffer);
        for (value, count) in [(1, 1), (5, 6), (0xffff_0001, 32), (3, 2)] {
            writer.write(value, count).unwrap();
        }
        assert_eq!(writer.bytes_written(), 6);
        assert_eq!(writer.write(0, 8), None, "full");
        let mut reader = BitReader::new(&buffer);
        for (value, count) in [(1, 1), (5, 6), (0xffff_0001, 32), (3, 2)] {
            assert_eq!(reader.read(count), Some(value));
        }
        assert_eq!((reader.position(), reader.left()), (41, 7));
        assert_eq!(reader.read(8), None);
    }

    #[test]
    fn numbers_below_a_limit_take_few_bits() {
        // n = 5: 0, 1, 2 in two bits, 3 and 4 in three.
        for (byte, value, bits) in [
            (0b0000_0000, 0, 2),
            (0b0100_0000, 1, 2),
            (0b1000_0000, 2, 2),
            (0b1100_0000, 3, 3),
            (0b1110_0000, 4, 3),
        ] {
            let bytes = [byte];
            let mut reader = BitReader::new(&bytes);
            assert_eq!((reader.read_below(5), reader.position()), (Some(value), bits));
        }
        assert_eq!(BitReader::new(&[0xff]).read_below(1), Some(0));
        assert_eq!(BitReader::new(&[0xff]).read_below(0), None);
    }
}
