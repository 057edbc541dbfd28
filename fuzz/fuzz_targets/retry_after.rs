//! See `genesys_fuzz::retry_after`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::retry_after(input));
