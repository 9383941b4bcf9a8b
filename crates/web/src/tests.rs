//! The real router over a real head-end.
