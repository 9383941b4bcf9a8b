//! Coverage-guided driver of `loggerhead_fuzz::head_end`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| loggerhead_fuzz::head_end(input));
