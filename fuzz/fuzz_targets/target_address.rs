//! See `genesys_fuzz::target_address`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::target_address(input));
