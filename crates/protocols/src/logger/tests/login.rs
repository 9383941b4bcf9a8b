//! Getting in, and not getting in.
