//! hubwire for C. What each function does is said in `include/hubwire.h`, which is checked in; here is how.
//!
//! Every function that does something goes through [`call`]: a panic ends there, the signal of a broken pipe does too, and what came
//! of it is kept for the thread that asks. One that only looks goes through [`look`], and keeps nothing. Pointers become references
//! in `arguments`, and nowhere else, but for those that may be NULL.

mod arguments;
mod call;
mod last;
mod options;

use std::ffi::{CStr, c_char, c_void};

use hubwire_rs::blocking::{Connection, Sender};
use hubwire_rs::{Batch, ConnectionString, TryAdd};

use arguments::{body, handle, handle_mut, optional_text, out, text};
use call::{call, look};
use last::{Last, Outcome};
use options::Options;

/// What a call came to: the header's `hubwire_result`.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Code {
    #[default]
    /// Done.
    Ok = 0,
    /// The hub refused it.
    Rejected = 1,
    /// It never left.
    NotSent = 2,
    /// It may be stored.
    Unknown = 3,
    /// The batch is full.
    Full = 4,
    /// No batch can hold it.
    TooLarge = 5,
    /// An argument.
    Invalid = 6,
    /// The hub's no, or a setting.
    Refused = 7,
    /// It may work later.
    Unreachable = 8,
    /// A panic.
    Fault = 9,
}

/// The header's `hubwire_sender`.
pub struct HubwireSender {
    sender: Sender,
    // Behind the sender, which is let go of first.
    connection: Connection,
}

/// Several threads may use one at a time, as the header says.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<HubwireSender>();
};

/// The header's `hubwire_batch`.
pub struct HubwireBatch(Batch);

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_open(
    connection_string: *const c_char,
    event_hub: *const c_char,
    options: *const Options,
    sender: *mut *mut HubwireSender,
) -> Code {
    call(|| {
        // SAFETY: as the header asks for.
        let place = unsafe { out(sender, "sender") }?;
        *place = std::ptr::null_mut();
        // SAFETY: as before.
        let (to, named) =
            unsafe { (text(connection_string, "connection_string")?, optional_text(event_hub, "event_hub")?) };
        // SAFETY: as before.
        let options = unsafe { options::read(options) }?;
        let to = ConnectionString::parse(to).map_err(Last::setting)?;
        let event_hub = to.resolve_event_hub(named).map_err(Last::setting)?;
        let connection = Connection::open(&to, &options).map_err(Last::open)?;
        let sender = connection.sender(event_hub).map_err(Last::open)?;
        *place = Box::into_raw(Box::new(HubwireSender { sender, connection }));
        Ok(Last::default())
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_send(sender: *mut HubwireSender, event: *const c_void, len: usize) -> Code {
    call(|| {
        // SAFETY: as the header asks for.
        let (sender, event) = unsafe { (handle(sender, "sender")?, body(event, len)?) };
        let mut batch = sender.sender.batch();
        add(&mut batch, event)?;
        sender.send(&mut batch)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_batch_new(
    sender: *const HubwireSender,
    partition_key: *const c_char,
    batch: *mut *mut HubwireBatch,
) -> Code {
    call(|| {
        // SAFETY: as the header asks for.
        let place = unsafe { out(batch, "batch") }?;
        *place = std::ptr::null_mut();
        // SAFETY: as before.
        let (sender, key) = unsafe { (handle(sender, "sender")?, optional_text(partition_key, "partition_key")?) };
        let empty = match key {
            Some(key) => sender.sender.batch_with_partition_key(key).map_err(Last::invalid)?,
            None => sender.sender.batch(),
        };
        *place = Box::into_raw(Box::new(HubwireBatch(empty)));
        Ok(Last::default())
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_batch_add(batch: *mut HubwireBatch, event: *const c_void, len: usize) -> Code {
    call(|| {
        // SAFETY: as the header asks for.
        let (batch, event) = unsafe { (handle_mut(batch, "batch")?, body(event, len)?) };
        add(&mut batch.0, event)?;
        Ok(Last::default())
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_batch_count(batch: *const HubwireBatch) -> usize {
    // SAFETY: as the header asks for.
    look(|| unsafe { batch.as_ref() }.map_or(0, |batch| batch.0.len()))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_batch_size(batch: *const HubwireBatch) -> usize {
    // SAFETY: as the header asks for.
    look(|| unsafe { batch.as_ref() }.map_or(0, |batch| batch.0.encoded_len()))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_batch_clear(batch: *mut HubwireBatch) {
    look(|| {
        // SAFETY: as the header asks for.
        if let Some(batch) = unsafe { batch.as_mut() } {
            batch.0.clear();
        }
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_send_batch(sender: *mut HubwireSender, batch: *mut HubwireBatch) -> Code {
    call(|| {
        // SAFETY: as the header asks for.
        let (sender, batch) = unsafe { (handle(sender, "sender")?, handle_mut(batch, "batch")?) };
        sender.send(&mut batch.0)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_batch_free(batch: *mut HubwireBatch) {
    call(|| {
        if !batch.is_null() {
            // SAFETY: it came from `hubwire_batch_new`, and this is its last use.
            drop(unsafe { Box::from_raw(batch) });
        }
        Ok(Last::default())
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_close(sender: *mut HubwireSender) {
    call(|| {
        if !sender.is_null() {
            // SAFETY: it came from `hubwire_open`, and this is its last use.
            let HubwireSender { sender, connection } = *unsafe { Box::from_raw(sender) };
            drop(sender);
            connection.close();
        }
        Ok(Last::default())
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_last_error(buffer: *mut c_char, len: usize) -> usize {
    // SAFETY: as the header asks for.
    look(|| last::with(|last| unsafe { arguments::write_text(&last.message, buffer, len) }))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_last_condition(buffer: *mut c_char, len: usize) -> usize {
    // SAFETY: as the header asks for.
    look(|| last::with(|last| unsafe { arguments::write_text(&last.condition, buffer, len) }))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hubwire_last_outcome(outcome: *mut Outcome) {
    look(|| {
        // SAFETY: as the header asks for.
        if let Some(outcome) = unsafe { outcome.as_mut() } {
            *outcome = last::with(|last| last.outcome);
        }
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn hubwire_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    const TEXT: &CStr = match CStr::from_bytes_with_nul(VERSION.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    };
    TEXT.as_ptr()
}

impl HubwireSender {
    /// The batch comes back either way; emptied, if it was accepted.
    fn send(&self, batch: &mut Batch) -> Result<Last, Last> {
        let (events, bytes) = (batch.len(), batch.encoded_len());
        // Should a panic leave it in the place of what was sent, it is one for the next events.
        let empty = empty_like(batch, self.sender.max_message_size());
        match self.sender.send(std::mem::replace(batch, empty)) {
            Ok(accepted) => {
                *batch = accepted.into_batch();
                Ok(Last::default().of(events, bytes))
            }
            Err(error) => {
                let last = Last::send(&error).of(events, bytes);
                *batch = error.into_batch();
                Err(last)
            }
        }
    }
}

/// A batch without events, for a link that takes `max_message_size` bytes, that goes where `batch` goes.
fn empty_like(batch: &Batch, max_message_size: usize) -> Batch {
    let keyed = batch.partition_key().and_then(|key| Batch::with_partition_key(max_message_size, key).ok());
    keyed.unwrap_or_else(|| Batch::new(max_message_size))
}

fn add(batch: &mut Batch, event: &[u8]) -> Result<(), Last> {
    match batch.try_add(event) {
        TryAdd::Added => Ok(()),
        TryAdd::Full(_) => Err(Last::new(Code::Full, "the batch is full; send it, then add the event to the next one")),
        TryAdd::TooLarge(_) => Err(Last::new(Code::TooLarge, "no batch can hold the event; publish less in one")),
        TryAdd::Invalid(_, why) => Err(Last::invalid(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_panic_leaves_is_a_batch_for_the_next_events() {
        let keyed = Batch::with_partition_key(1_000, "device-42").expect("a key");
        for batch in [Batch::new(1_000), keyed] {
            let mut empty = empty_like(&batch, 500);
            assert_eq!((empty.len(), empty.partition_key()), (0, batch.partition_key()));
            assert!(add(&mut empty, b"event").is_ok() && add(&mut empty, &[0; 500]).is_err());
        }
    }
}
