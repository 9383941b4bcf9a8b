//! A copy of the store while it is in use.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::error::{database, file};
use crate::{Progress, StoreError, directory, schema};

/// Pages copied at a time: 8 MiB.
const STEP_PAGES: i32 = 1024;
/// How long to wait when the database is locked by a checkpoint.
const PAUSE: Duration = Duration::from_millis(20);

/// Copies the store in the directory `from`, as it is at one moment, to the new private file `to`, while any process may
/// go on writing it. In a directory of its own and named `loggerhead.db`, the copy is a store.
///
/// # Errors
/// `Missing` without a store, `File` when `to` exists or cannot be written, `Database` when the copy fails.
pub fn backup(from: &Path, to: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
    let source = schema::open_reader(from)?;
    let writing = || format!("writing the backup {}", to.display());
    directory::create_new(to).map_err(file(writing()))?;
    let copied = copy(&source, to, progress);
    if copied.is_err() {
        // A part of a store is no backup. What went wrong first is what is reported.
        let _ = std::fs::remove_file(to);
    }
    copied?;
    let synced = std::fs::File::open(to).and_then(|backup| backup.sync_all());
    synced.map_err(file(writing()))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(file(writing()))
}

fn copy(source: &Connection, to: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
    let doing = database("copying the database");
    // One read transaction: the copy is of one moment, and writes do not make it start over.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").map_err(doing)?;
    let page_bytes: u64 = source.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(doing)?;
    let mut target = Connection::open(to).map_err(doing)?;
    {
        let backup = Backup::new(source, &mut target).map_err(doing)?;
        loop {
            let result = backup.step(STEP_PAGES).map_err(doing)?;
            let pages = backup.progress();
            let bytes = |pages: i32| u64::try_from(pages).unwrap_or(0) * page_bytes;
            progress(Progress { done: bytes(pages.pagecount - pages.remaining), total: bytes(pages.pagecount) });
            match result {
                StepResult::Done => break,
                StepResult::Busy | StepResult::Locked => std::thread::sleep(PAUSE),
                StepResult::More | _ => {}
            }
        }
    }
    target.close().map_err(|(_, error)| doing(error))
}
