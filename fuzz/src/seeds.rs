//! Writes the inputs to begin with: `seeds DIRECTORY` fills a directory of its own for every target.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let directory =
        env::args_os().nth(1).map(PathBuf::from).ok_or_else(|| io::Error::other("usage: seeds DIRECTORY"))?;
    for (target, _) in loggerhead_fuzz::TARGETS {
        let corpus = directory.join(target);
        fs::create_dir_all(&corpus)?;
        for (seed, number) in loggerhead_fuzz::seeds(target).iter().zip(0..) {
            fs::write(corpus.join(format!("seed-{number:04}")), seed)?;
        }
    }
    Ok(())
}
