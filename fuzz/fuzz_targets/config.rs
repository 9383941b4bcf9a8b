//! Coverage-guided driver of `loggerhead_fuzz::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| loggerhead_fuzz::config(input));
