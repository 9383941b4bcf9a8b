//! What a store promises, through its public side.

mod common;
mod keeping;
