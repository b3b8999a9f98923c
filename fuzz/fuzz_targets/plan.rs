//! `cargo fuzz run --features libfuzzer plan fuzz/seeds/plan`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallygate_fuzz::plan(bytes));
