//! What is around every call: no panic leaves it, and no signal.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Code;
use crate::last::{self, Last};

/// Makes one call, and keeps what it came to for its thread.
pub(crate) fn call(work: impl FnOnce() -> Result<Last, Last>) -> Code {
    let done = catch_unwind(AssertUnwindSafe(|| without_sigpipe(work)));
    let fault =
        |_| Err(Last::new(Code::Fault, "hubwire panicked; close the sender, and report it with its standard error"));
    last::keep(done.unwrap_or_else(fault).unwrap_or_else(|failed| failed))
}

/// Only looks: what the thread's last call came to stays as it is. A panic ends here too, and there is nothing to see.
pub(crate) fn look<T: Default>(look: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(look)).unwrap_or_default()
}

/// A socket whose peer has gone raises SIGPIPE in the thread that writes to it, which ends a host that does not ignore it. It is
/// blocked meanwhile, and one that came in the call is taken before it can arrive.
#[cfg(unix)]
fn without_sigpipe<T>(work: impl FnOnce() -> T) -> T {
    let _held = Sigpipe::hold();
    work()
}

#[cfg(not(unix))]
fn without_sigpipe<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// SIGPIPE, held back from this thread until it is dropped.
#[cfg(unix)]
struct Sigpipe {
    /// What the thread had blocked before.
    before: libc::sigset_t,
    /// One had come already, which is not ours.
    was_pending: bool,
}

#[cfg(unix)]
impl Sigpipe {
    fn hold() -> Self {
        let mut before = empty();
        // SAFETY: the sets are initialised, and live for the call; so below.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &of_sigpipe(), &mut before) };
        Self { before, was_pending: is_pending() }
    }
}

#[cfg(unix)]
impl Drop for Sigpipe {
    fn drop(&mut self) {
        if !self.was_pending && is_pending() {
            let mut taken = 0;
            // SAFETY: it is pending, and blocked: this takes it without waiting.
            unsafe { libc::sigwait(&of_sigpipe(), &mut taken) };
        }
        // SAFETY: the set is what the thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

#[cfg(unix)]
fn is_pending() -> bool {
    let mut pending = empty();
    // SAFETY: the set is initialised, and lives for the call.
    unsafe { libc::sigpending(&mut pending) == 0 && libc::sigismember(&pending, libc::SIGPIPE) == 1 }
}

#[cfg(unix)]
fn of_sigpipe() -> libc::sigset_t {
    let mut set = empty();
    // SAFETY: the set is initialised.
    unsafe { libc::sigaddset(&mut set, libc::SIGPIPE) };
    set
}

#[cfg(unix)]
fn empty() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises what it is given.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All else is called from C: see `tests/run`.
    #[test]
    fn a_panic_is_a_fault_and_is_told() {
        assert_eq!(call(|| panic!("as asked for")), Code::Fault);
        assert!(last::with(|last| last.message.contains("close the sender")));
        assert_eq!(call(|| Ok(Last::default())), Code::Ok);
        assert!(last::with(|last| last.message.is_empty()));
    }

    #[test]
    fn a_look_that_panics_sees_nothing_and_changes_nothing() {
        call(|| Err(Last::invalid("kept")));
        assert_eq!(look(|| -> usize { panic!("as asked for") }), 0);
        assert_eq!(look(|| 7), 7);
        assert!(last::with(|last| last.message == "kept"));
    }
}
