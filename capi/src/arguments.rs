//! Pointers -> what they stand for. NULL is noticed; for all else the caller's word counts.

use std::ffi::{CStr, c_char, c_void};

use crate::last::Last;

/// A handle, shared.
///
/// # Safety
/// It came from here, and has not been freed.
pub(crate) unsafe fn handle<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Last> {
    // SAFETY: the caller's word.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// A handle that nobody else uses.
///
/// # Safety
/// As of [`handle`], and it is used by one thread at a time.
pub(crate) unsafe fn handle_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T, Last> {
    // SAFETY: the caller's word.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// A place that a result goes to.
///
/// # Safety
/// It can be written to.
pub(crate) unsafe fn out<'a, T>(pointer: *mut *mut T, name: &str) -> Result<&'a mut *mut T, Last> {
    // SAFETY: the caller's word.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// A text.
///
/// # Safety
/// It ends with a NUL.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Last> {
    // SAFETY: the caller's word.
    unsafe { optional_text(pointer, name) }?.ok_or_else(|| null(name))
}

/// A text, or NULL.
///
/// # Safety
/// As of [`text`].
pub(crate) unsafe fn optional_text<'a>(pointer: *const c_char, name: &str) -> Result<Option<&'a str>, Last> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's word.
    let text = unsafe { CStr::from_ptr(pointer) }.to_str();
    text.map(Some).map_err(|_| Last::invalid(format_args!("{name} is not UTF-8")))
}

/// An event's bytes.
///
/// # Safety
/// There are so many.
pub(crate) unsafe fn body<'a>(pointer: *const c_void, len: usize) -> Result<&'a [u8], Last> {
    match (pointer.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(null("body")),
        _ if len > isize::MAX as usize => Err(Last::invalid("len is more than there can be")),
        // SAFETY: the caller's word.
        _ => Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), len) }),
    }
}

/// Writes as much of `text` as fits, whole characters, and a NUL; the bytes of all of it.
///
/// # Safety
/// There is so much room.
pub(crate) unsafe fn write_text(text: &str, buffer: *mut c_char, room: usize) -> usize {
    if !buffer.is_null() && room > 0 {
        let len = text.floor_char_boundary(room - 1);
        // SAFETY: `len` bytes and one more are within the room, by the caller's word.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast(), len);
            buffer.add(len).write(0);
        }
    }
    text.len()
}

fn null(name: &str) -> Last {
    Last::invalid(format_args!("{name} is NULL"))
}
