//! Coverage-guided driver of `loggerhead_fuzz::settings`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| loggerhead_fuzz::settings(input));
