//! `cargo fuzz run --features libfuzzer fetch fuzz/seeds/fetch`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallygate_fuzz::fetch(bytes));
