#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| plenum_fuzz::targets::redundancy(input));
