//! `cargo fuzz run --features libfuzzer push fuzz/seeds/push`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallygate_fuzz::push(bytes));
