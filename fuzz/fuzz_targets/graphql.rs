//! `cargo fuzz run --features libfuzzer graphql fuzz/seeds/graphql`
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sallygate_fuzz::graphql(bytes));
