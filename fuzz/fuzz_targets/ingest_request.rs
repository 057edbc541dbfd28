//! See `genesys_fuzz::ingest_request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| genesys_fuzz::ingest_request(input));
