#![no_main]

use usher_host::http::parsers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::idempotency_key(bytes));
