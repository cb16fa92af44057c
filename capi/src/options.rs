//! How to connect.

use std::ffi::c_char;
use std::time::Duration;

use crate::arguments::optional_text;
use crate::last::Last;

/// The header's `hubwire_options`.
#[repr(C)]
pub struct Options {
    size: usize,
    open_timeout_ms: u32,
    send_timeout_ms: u32,
    close_timeout_ms: u32,
    websocket: u32,
    ca_pem: *const c_char,
    endpoint: *const c_char,
    http_proxy: *const c_char,
}

/// Reads them, as far as their size goes; NULL is none.
///
/// # Safety
/// They are as long as their size says, and their texts end with a NUL.
pub(crate) unsafe fn read(options: *const Options) -> Result<hubwire_rs::Options, Last> {
    let read = hubwire_rs::Options::default();
    // SAFETY: the caller's word.
    let Some(size) = (unsafe { options.cast::<usize>().as_ref() }) else { return Ok(read) };
    if *size < size_of::<Options>() {
        return Err(Last::invalid("options.size is none of this library's; begin with HUBWIRE_OPTIONS_INIT"));
    }
    // SAFETY: they are no shorter than that, by the caller's word.
    let Options { open_timeout_ms, send_timeout_ms, close_timeout_ms, websocket, ca_pem, endpoint, http_proxy, .. } =
        unsafe { &*options };
    let mut read = read;
    if let Some(timeout) = millis(*open_timeout_ms) {
        read = read.open_timeout(timeout);
    }
    if let Some(timeout) = millis(*send_timeout_ms) {
        read = read.send_timeout(timeout);
    }
    if let Some(timeout) = millis(*close_timeout_ms) {
        read = read.close_timeout(timeout);
    }
    if *websocket != 0 {
        read = over_websocket(read)?;
    }
    // SAFETY: the caller's word.
    let (ca_pem, endpoint, http_proxy) = unsafe {
        (
            optional_text(*ca_pem, "options.ca_pem")?,
            optional_text(*endpoint, "options.endpoint")?,
            optional_text(*http_proxy, "options.http_proxy")?,
        )
    };
    if let Some(pem) = ca_pem {
        read = read.root_certificates_pem(pem);
    }
    if let Some(endpoint) = endpoint {
        read = read.custom_endpoint(endpoint);
    }
    if let Some(url) = http_proxy {
        read = read.http_proxy(url);
    }
    Ok(read)
}

fn millis(millis: u32) -> Option<Duration> {
    (millis > 0).then(|| Duration::from_millis(millis.into()))
}

#[cfg(feature = "websocket")]
fn over_websocket(options: hubwire_rs::Options) -> Result<hubwire_rs::Options, Last> {
    Ok(options.transport(hubwire_rs::Transport::WebSocket))
}

#[cfg(not(feature = "websocket"))]
fn over_websocket(_: hubwire_rs::Options) -> Result<hubwire_rs::Options, Last> {
    Err(Last::invalid("this library was built without WebSocket; build it with the feature `websocket`"))
}
