//! See `genesys_fuzz::connection_secret`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::connection_secret(input));
