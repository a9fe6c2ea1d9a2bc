//! Arithmetic on wrapping counters: timestamps, picture ids.

/// The low 32 bits: a count of ticks on the circle of timestamps.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the point of it")]
pub const fn low_32_bits(value: u128) -> u32 {
    value as u32
}

/// Signed distance from `earlier` to `later` on a 32-bit circle.
#[must_use]
pub const fn timestamp_delta(earlier: u32, later: u32) -> i32 {
    later.wrapping_sub(earlier).cast_signed()
}

/// Whether a number of `bits` bits lies after another on its circle (by less than half of it).
#[must_use]
pub const fn is_after(earlier: u16, later: u16, bits: u32) -> bool {
    let mask = mask(bits);
    let distance = later.wrapping_sub(earlier) & mask;
    distance != 0 && distance < (1 << (bits - 1))
}

/// The lowest `bits` bits, at most 16.
#[must_use]
pub const fn mask(bits: u32) -> u16 {
    if bits >= 16 { u16::MAX } else { (1 << bits) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_wrap() {
        for (earlier, later, delta) in
            [(0, 1, 1), (1, 0, -1), (u32::MAX, 2, 3), (2, u32::MAX, -3), (0, 1 << 31, i32::MIN)]
        {
            assert_eq!(timestamp_delta(earlier, later), delta);
        }
    }

    #[test]
    fn order_on_small_circles() {
        for (earlier, later, bits, expected) in [
            (0, 1, 7, true),
            (127, 0, 7, true),
            (0, 127, 7, false),
            (5, 5, 7, false),
            (0x7fff, 3, 15, true),
            (3, 0x7fff, 15, false),
            (0, 63, 7, true),
            (0, 64, 7, false),
            (0xffff, 0, 16, true),
        ] {
            assert_eq!(is_after(earlier, later, bits), expected, "{earlier} {later} {bits}");
        }
    }
}
