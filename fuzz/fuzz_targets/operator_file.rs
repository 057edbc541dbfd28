//! See `genesys_fuzz::operator_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::operator_file(input));
