//! `cargo fuzz run --features libfuzzer policy fuzz/seeds/policy`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallygate_fuzz::policy(bytes));
