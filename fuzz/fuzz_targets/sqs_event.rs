//! See `genesys_fuzz::sqs_event`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::sqs_event(input));
