//! What a store promises, through its public side.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails")]

mod access;
mod caring;
mod common;
mod damage;
mod damaged_columns;
mod disk;
mod earlier;
mod failing;
mod keeping;
mod limits;
mod model;
