//! See `genesys_fuzz::token_answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::token_answer(input));
