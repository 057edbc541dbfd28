//! See `genesys_fuzz::open_record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::open_record(input));
