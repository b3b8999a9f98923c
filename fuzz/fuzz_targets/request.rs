//! `cargo fuzz run --features libfuzzer request fuzz/seeds/request`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallygate_fuzz::request(bytes));
