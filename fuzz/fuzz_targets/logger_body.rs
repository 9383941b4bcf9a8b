//! Coverage-guided driver of `loggerhead_fuzz::logger_body`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| loggerhead_fuzz::logger_body(input));
