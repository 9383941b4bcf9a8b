//! Loggerhead: the head-end for data loggers and other field devices.

fn main() {}
