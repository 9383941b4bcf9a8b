//! A disk that fails when it is told to, and that forgets what was never synced when the power goes: a layer between
//! SQLite and the real files, for the files of one directory.
//!
//! After a sync that failed, what it should have written stays visible and is lost with the power even when a later sync
//! succeeds, as on Linux; only what is written again can become durable.

#![expect(unsafe_code, reason = "SQLite calls its files through C structures")]

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs::OpenOptions;
use std::mem::size_of;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::{LazyLock, Mutex, MutexGuard, Once};

use rusqlite::ffi;

/// The unit in which a disk keeps or loses what is written.
const BLOCK: usize = 512;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Writes find no room.
    Full,
    /// Writes fail half-way.
    Write,
    /// Syncs fail.
    Sync,
    /// The process is dead: nothing is written any more.
    Dead,
}

/// Operations of one kind that fail: from the `first` on, `count` of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    pub(crate) first: u64,
    pub(crate) count: u64,
}

#[derive(Default)]
struct Blocks {
    /// Written since the last sync, with what stood there.
    unsynced: BTreeMap<usize, [u8; BLOCK]>,
    /// Visible, but never reached the disk.
    lost: BTreeMap<usize, [u8; BLOCK]>,
}

#[derive(Default)]
struct Disk {
    plan: Option<Plan>,
    seen: u64,
    failed: u64,
    files: HashMap<PathBuf, Blocks>,
}

static DISKS: LazyLock<Mutex<HashMap<PathBuf, Disk>>> = LazyLock::new(Mutex::default);
static REGISTERED: Once = Once::new();

fn disks() -> MutexGuard<'static, HashMap<PathBuf, Disk>> {
    DISKS.lock().expect("no panic while it is held")
}

/// Works on the disk of a file; nothing for files that are on no such disk.
fn on_disk<T>(path: &Path, work: impl FnOnce(&mut Disk) -> T) -> Option<T> {
    disks().get_mut(path.parent()?).map(work)
}

/// Puts the files of `directory` on a disk that can fail.
pub(crate) fn insert(directory: &Path) {
    REGISTERED.call_once(register);
    disks().insert(directory.to_owned(), Disk::default());
}

/// Makes operations fail from now on.
pub(crate) fn fail(directory: &Path, plan: Plan) {
    if let Some(disk) = disks().get_mut(directory) {
        (disk.plan, disk.seen, disk.failed) = (Some(plan), 0, 0);
    }
}

/// How many operations have failed as planned.
pub(crate) fn failed(directory: &Path) -> u64 {
    disks().get(directory).map_or(0, |disk| disk.failed)
}

/// The power goes: what did not reach the disk is gone. The disk works again after it.
pub(crate) fn cut_power(directory: &Path) {
    let disk = disks().insert(directory.to_owned(), Disk::default()).expect("a disk");
    for (path, mut blocks) in disk.files {
        let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
        blocks.lost.append(&mut blocks.unsynced);
        for (block, old) in blocks.lost {
            file.write_all_at(&old, (block * BLOCK) as u64).expect("a writable file");
        }
    }
}

impl Disk {
    /// Whether this operation fails; `kinds` are the faults that could hit it.
    fn hit(&mut self, kinds: &[Fault]) -> Option<Fault> {
        let plan = self.plan.filter(|plan| kinds.contains(&plan.fault))?;
        self.seen += 1;
        let hit = self.seen > plan.first && self.seen - plan.first <= plan.count;
        self.failed += u64::from(hit);
        hit.then_some(plan.fault)
    }
}

/// What SQLite holds as an open file: the methods, the path, and behind this the real file.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    path: *mut PathBuf,
}

fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: every file of this layer was opened with room for the real one behind it.
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

fn methods(file: *mut ffi::sqlite3_file) -> &'static ffi::sqlite3_io_methods {
    // SAFETY: an open real file has methods, which are static.
    unsafe { &*(*real(file)).pMethods }
}

fn path(file: *mut ffi::sqlite3_file) -> PathBuf {
    // SAFETY: set at opening, freed at closing.
    unsafe { (*(*file.cast::<File>()).path).clone() }
}

fn base_vfs() -> *mut ffi::sqlite3_vfs {
    // SAFETY: a static name; SQLite keeps its own layers for ever.
    unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) }
}

fn register() {
    let base = base_vfs();
    // SAFETY: the base layer is a plain structure; the copy is leaked, as SQLite keeps it.
    unsafe {
        let mut vfs = *base;
        vfs.zName = c"failing".as_ptr();
        vfs.pNext = null_mut();
        vfs.szOsFile += c_int::try_from(size_of::<File>()).expect("a small structure");
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 1);
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a file with the room that `szOsFile` asked for, and a name or null.
    unsafe {
        (*file).pMethods = std::ptr::null();
        let code = (*base_vfs()).xOpen.expect("a layer opens")(base_vfs(), name, real(file), flags, out);
        if code == ffi::SQLITE_OK {
            let path = if name.is_null() {
                PathBuf::new()
            } else {
                PathBuf::from(CStr::from_ptr(name).to_str().unwrap_or(""))
            };
            (*file.cast::<File>()).path = Box::into_raw(Box::new(path));
            (*file).pMethods = &raw const METHODS;
        }
        code
    }
}

unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, synced: c_int) -> c_int {
    // SAFETY: SQLite gives a name.
    let path = unsafe { PathBuf::from(CStr::from_ptr(name).to_str().unwrap_or("")) };
    let hit = on_disk(&path, |disk| {
        let hit = disk.hit(&[Fault::Dead]);
        if hit.is_none() {
            disk.files.remove(&path);
        }
        hit
    });
    if hit.flatten().is_some() {
        return ffi::SQLITE_IOERR_DELETE;
    }
    // SAFETY: passed on as it came.
    unsafe { (*base_vfs()).xDelete.expect("a layer deletes")(base_vfs(), name, synced) }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: closed once; the path was made at opening.
    unsafe {
        let code = methods(file).xClose.expect("a file closes")(real(file));
        drop(Box::from_raw((*file.cast::<File>()).path));
        code
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, bytes: *const c_void, length: c_int, offset: i64) -> c_int {
    let path = path(file);
    let mut written = length;
    let mut code = ffi::SQLITE_OK;
    on_disk(&path, |disk| {
        match disk.hit(&[Fault::Full, Fault::Write, Fault::Dead]) {
            Some(Fault::Full) => (written, code) = (0, ffi::SQLITE_FULL),
            Some(_) => (written, code) = (length / 2, ffi::SQLITE_IOERR_WRITE),
            None => {}
        }
        remember(disk.files.entry(path.clone()).or_default(), &path, offset, written);
    });
    if written == 0 {
        return code;
    }
    // SAFETY: passed on as it came, or shorter.
    let real_code = unsafe { methods(file).xWrite.expect("a file writes")(real(file), bytes, written, offset) };
    if code == ffi::SQLITE_OK { real_code } else { code }
}

/// Keeps what stands where something is about to be written.
fn remember(blocks: &mut Blocks, path: &Path, offset: i64, length: c_int) {
    let Ok(file) = std::fs::File::open(path) else { return };
    let start = usize::try_from(offset).expect("a place in a file");
    let end = start + usize::try_from(length).expect("a length");
    for block in start / BLOCK..end.div_ceil(BLOCK) {
        if blocks.unsynced.contains_key(&block) {
            continue;
        }
        let old = blocks.lost.remove(&block).unwrap_or_else(|| {
            let mut old = [0; BLOCK];
            let mut filled = 0;
            while let Ok(count @ 1..) = file.read_at(&mut old[filled..], (block * BLOCK + filled) as u64) {
                filled += count;
            }
            old
        });
        blocks.unsynced.insert(block, old);
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let path = path(file);
    let code = on_disk(&path, |disk| {
        let hit = disk.hit(&[Fault::Sync, Fault::Dead]);
        let blocks = disk.files.entry(path.clone()).or_default();
        let unsynced = std::mem::take(&mut blocks.unsynced);
        if hit.is_none() {
            return ffi::SQLITE_OK;
        }
        for (block, old) in unsynced {
            blocks.lost.entry(block).or_insert(old);
        }
        ffi::SQLITE_IOERR_FSYNC
    });
    // SAFETY: passed on as it came.
    code.unwrap_or_else(|| unsafe { methods(file).xSync.expect("a file syncs")(real(file), flags) })
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    let hit = on_disk(&path(file), |disk| disk.hit(&[Fault::Write, Fault::Dead]));
    if hit.flatten().is_some() {
        return ffi::SQLITE_IOERR_TRUNCATE;
    }
    // SAFETY: passed on as it came.
    unsafe { methods(file).xTruncate.expect("a file truncates")(real(file), length) }
}

/// Passes calls on to the real file as they come.
macro_rules! pass_on {
    ($($name:ident, $method:ident, ($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $kind)*) -> $result {
            // SAFETY: passed on as it came.
            unsafe { methods(file).$method.expect("a file of version 2")(real(file) $(, $argument)*) }
        }
    )*};
}

pass_on! {
    read, xRead, (bytes: *mut c_void, length: c_int, offset: i64) -> c_int;
    size, xFileSize, (out: *mut i64) -> c_int;
    lock, xLock, (level: c_int) -> c_int;
    unlock, xUnlock, (level: c_int) -> c_int;
    check_reserved, xCheckReservedLock, (out: *mut c_int) -> c_int;
    control, xFileControl, (code: c_int, argument: *mut c_void) -> c_int;
    sector, xSectorSize, () -> c_int;
    characteristics, xDeviceCharacteristics, () -> c_int;
    shm_map, xShmMap, (page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int;
    shm_lock, xShmLock, (offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier, xShmBarrier, () -> ();
    shm_unmap, xShmUnmap, (delete: c_int) -> c_int;
}
