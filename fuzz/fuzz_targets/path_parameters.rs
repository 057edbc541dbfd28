//! See `genesys_fuzz::path_parameters`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::path_parameters(input));
