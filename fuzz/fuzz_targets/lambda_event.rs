//! See `genesys_fuzz::lambda_event`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::lambda_event(input));
