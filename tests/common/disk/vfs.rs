//! The disks as SQLite sees them: its C interface on one side, [`State`](super::state::State) on
//! the other, and nothing decided in between.
//!
//! A disk is looked up by the first part of a path when a file is opened; from then on the file
//! has it.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Arc, Once};
use std::time::Duration;

use rusqlite::ffi::{
    self, SQLITE_ACCESS_EXISTS, SQLITE_CANTOPEN, SQLITE_FCNTL_HAS_MOVED,
    SQLITE_IOCAP_POWERSAFE_OVERWRITE, SQLITE_NOTFOUND, SQLITE_OK, SQLITE_OPEN_CREATE,
    SQLITE_OPEN_DELETEONCLOSE, SQLITE_OPEN_EXCLUSIVE, SQLITE_SHM_EXCLUSIVE, SQLITE_SHM_LOCK,
    sqlite3_file, sqlite3_io_methods, sqlite3_vfs,
};

use super::image::SECTOR;
use super::state::{Handle, Io};
use super::{Inner, VFS};

/// The longest path.
const PATH_MAX: c_int = 512;

/// What SQLite has of an open file.
#[repr(C)]
struct File {
    base: sqlite3_file,
    open: *mut Open,
}

struct Open {
    disk: Arc<Inner>,
    handle: Handle,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Makes SQLite know the disks, once a process.
pub fn register() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let vfs = Box::new(sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<File>() as c_int,
            mxPathname: PATH_MAX,
            pNext: std::ptr::null_mut(),
            zName: VFS.as_ptr(),
            pAppData: std::ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(get_last_error),
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        });
        // SAFETY: the structure is never freed, and its functions keep to the interface. Counting
        // memory would have all threads wait for one mutex; it cannot be turned off any more if
        // SQLite is in use already, which only costs time.
        let registered = unsafe {
            ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0 as c_int);
            ffi::sqlite3_vfs_register(Box::into_raw(vfs), 0)
        };
        assert_eq!(registered, SQLITE_OK);
    });
}

fn code(done: Io<()>) -> c_int {
    done.err().unwrap_or(SQLITE_OK)
}

/// SAFETY: `file` is one that [`open`] filled in and [`close`] has not seen.
unsafe fn opened<'a>(file: *mut sqlite3_file) -> &'a mut Open {
    unsafe { &mut *(*file.cast::<File>()).open }
}

/// SAFETY: `name` is null or ends with a zero.
unsafe fn text<'a>(name: *const c_char) -> Option<&'a str> {
    if name.is_null() {
        return None;
    }
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}

/// The disk and the name on it.
fn found(path: &str) -> Option<(Arc<Inner>, &str)> {
    let (number, name) = path.strip_prefix('/')?.split_once('/')?;
    Some((Inner::find(number.parse().ok()?)?, name))
}

// Every function below is called by SQLite as its documentation says: pointers are valid for as
// long as the call takes, buffers as long as the count beside them, and a file is used by one
// thread at a time.

unsafe extern "C" fn open(
    _vfs: *mut sqlite3_vfs,
    path: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    unsafe { (*file).pMethods = std::ptr::null() };
    let path = unsafe { text(path) };
    let (disk, name) = match path.map(found) {
        Some(Some((disk, name))) => (disk, Some(name)),
        Some(None) => return SQLITE_CANTOPEN,
        // A file that only SQLite knows of is on no disk.
        None => (Inner::nowhere(), None),
    };
    let handle = disk.state().open(
        name,
        flags & SQLITE_OPEN_CREATE != 0,
        flags & SQLITE_OPEN_EXCLUSIVE != 0,
        flags & SQLITE_OPEN_DELETEONCLOSE != 0,
    );
    let handle = match handle {
        Ok(handle) => handle,
        Err(failure) => return failure,
    };
    let open = Box::into_raw(Box::new(Open { disk, handle }));
    unsafe {
        (*file.cast::<File>()).open = open;
        (*file).pMethods = &METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    SQLITE_OK
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let mut open = unsafe { Box::from_raw((*file.cast::<File>()).open) };
    let Open { disk, handle } = open.as_mut();
    code(disk.state().close(handle))
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    let into = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), count as usize) };
    code(disk.state().read(handle, at as usize, into))
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    data: *const c_void,
    count: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), count as usize) };
    code(disk.state().write(handle, at as usize, data))
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    code(disk.state().truncate(handle, length as usize))
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    code(disk.state().sync(handle))
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    let length = disk.state().length(handle);
    code(length.map(|length| unsafe { *out = length as ffi::sqlite3_int64 }))
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    code(disk.state().lock(handle, level))
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    code(disk.state().unlock(handle, level))
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    let reserved = disk.state().is_reserved(handle);
    code(reserved.map(|reserved| unsafe { *out = c_int::from(reserved) }))
}

unsafe extern "C" fn file_control(
    file: *mut sqlite3_file,
    control: c_int,
    argument: *mut c_void,
) -> c_int {
    if control != SQLITE_FCNTL_HAS_MOVED {
        return SQLITE_NOTFOUND;
    }
    let Open { disk, handle } = unsafe { opened(file) };
    let moved = disk.state().has_moved(handle);
    unsafe { *argument.cast::<c_int>() = c_int::from(moved) };
    SQLITE_OK
}

unsafe extern "C" fn sector_size(_file: *mut sqlite3_file) -> c_int {
    SECTOR as c_int
}

/// What SQLite takes for granted on a Unix as well: a write leaves alone what is beside it.
unsafe extern "C" fn device_characteristics(_file: *mut sqlite3_file) -> c_int {
    SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    _size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    let shm = disk.state().shm(handle);
    code(shm.map(|shm| unsafe { *out = shm.region(region as usize, extend != 0) }))
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    at: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    let (at, count) = (at as usize, count as usize);
    let exclusive = flags & SQLITE_SHM_EXCLUSIVE != 0;
    code(if flags & SQLITE_SHM_LOCK != 0 {
        disk.state().shm_lock(handle, at, count, exclusive)
    } else {
        disk.state().shm_unlock(handle, at, count)
    })
}

unsafe extern "C" fn shm_barrier(_file: *mut sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    let Open { disk, handle } = unsafe { opened(file) };
    disk.state().shm_unmap(handle, delete != 0);
    SQLITE_OK
}

unsafe extern "C" fn delete(_vfs: *mut sqlite3_vfs, path: *const c_char, sync: c_int) -> c_int {
    match unsafe { text(path) }.and_then(found) {
        Some((disk, name)) => code(disk.state().delete(name, sync != 0)),
        None => SQLITE_CANTOPEN,
    }
}

unsafe extern "C" fn access(
    _vfs: *mut sqlite3_vfs,
    path: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let there = match unsafe { text(path) }.and_then(found) {
        Some((disk, name)) => disk.state().access(name, flags == SQLITE_ACCESS_EXISTS),
        None => Ok(false),
    };
    code(there.map(|there| unsafe { *out = c_int::from(there) }))
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut sqlite3_vfs,
    path: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    let path = unsafe { CStr::from_ptr(path) }.to_bytes_with_nul();
    if path.len() > room as usize {
        return SQLITE_CANTOPEN;
    }
    unsafe { std::ptr::copy_nonoverlapping(path.as_ptr().cast(), out, path.len()) };
    SQLITE_OK
}

/// Nothing that is kept depends on it.
unsafe extern "C" fn randomness(_vfs: *mut sqlite3_vfs, count: c_int, out: *mut c_char) -> c_int {
    unsafe { std::ptr::write_bytes(out, 7, count as usize) };
    count
}

unsafe extern "C" fn sleep(_vfs: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    std::thread::sleep(Duration::from_micros(microseconds as u64));
    microseconds
}

/// The stores read no clock.
unsafe extern "C" fn current_time(_vfs: *mut sqlite3_vfs, out: *mut f64) -> c_int {
    unsafe { *out = 2_461_000.0 };
    SQLITE_OK
}

unsafe extern "C" fn current_time_int64(
    _vfs: *mut sqlite3_vfs,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    unsafe { *out = 2_461_000 * 86_400_000 };
    SQLITE_OK
}

unsafe extern "C" fn get_last_error(
    _vfs: *mut sqlite3_vfs,
    _room: c_int,
    _out: *mut c_char,
) -> c_int {
    0
}
