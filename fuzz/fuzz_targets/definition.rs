//! `cargo fuzz run --features libfuzzer definition fuzz/seeds/definition`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallygate_fuzz::definition(bytes));
