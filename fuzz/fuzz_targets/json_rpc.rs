//! `cargo fuzz run --features libfuzzer json_rpc fuzz/seeds/json_rpc`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallygate_fuzz::json_rpc(bytes));
