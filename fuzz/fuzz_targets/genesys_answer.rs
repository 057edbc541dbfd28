//! See `genesys_fuzz::genesys_answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::genesys_answer(input));
