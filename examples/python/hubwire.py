"""hubwire in Python, over its C interface: the producer of `azure.eventhub.aio`, as far as a publisher needs it.

A program that publishes with the SDK publishes with this: only its import changes. Senders are kept for the life of the
process, whatever is opened and closed, so that a second call finds a connection; a process may sleep or freeze in between, and
fork. One that was told no for good is let go of, and the next call begins anew. What cannot be an event is refused here, where the SDK sends something else.

`HUBWIRE_LIBRARY` names libhubwire.so, if the system does not find it.
"""

import asyncio
import atexit
import contextlib
import ctypes
import os
import threading

OK, REJECTED, NOT_SENT, UNKNOWN, FULL, TOO_LARGE, INVALID = range(7)


class _Outcome(ctypes.Structure):
    """The header's hubwire_outcome."""

    _fields_ = [("result", ctypes.c_int32), ("is_retryable", ctypes.c_int32), ("events", ctypes.c_uint64),
                ("bytes", ctypes.c_uint64)]


_library = ctypes.CDLL(os.environ.get("HUBWIRE_LIBRARY", "libhubwire.so"))
_pointer, _text, _size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
for _name, _result, *_arguments in [
    ("hubwire_open", ctypes.c_int32, _text, _text, _pointer, ctypes.POINTER(_pointer)),
    ("hubwire_batch_new", ctypes.c_int32, _pointer, _text, ctypes.POINTER(_pointer)),
    ("hubwire_batch_add", ctypes.c_int32, _pointer, _text, _size),
    ("hubwire_batch_count", _size, _pointer),
    ("hubwire_batch_size", _size, _pointer),
    ("hubwire_batch_free", None, _pointer),
    ("hubwire_send_batch", ctypes.c_int32, _pointer, _pointer),
    ("hubwire_close", None, _pointer),
    ("hubwire_last_error", _size, ctypes.c_char_p, _size),
    ("hubwire_last_outcome", None, ctypes.POINTER(_Outcome)),
]:
    _function = getattr(_library, _name)
    _function.restype, _function.argtypes = _result, _arguments


class EventHubError(Exception):
    """What a call came to, in `result`: REJECTED, NOT_SENT (safe to send again), UNKNOWN (that may duplicate), or another; and
    whether the same may work later without anybody changing anything."""

    def __init__(self, result):
        # Of the thread that made the call.
        outcome = _Outcome()
        _library.hubwire_last_outcome(ctypes.byref(outcome))
        self.is_retryable = bool(outcome.is_retryable)
        buffer = ctypes.create_string_buffer(1024)
        _library.hubwire_last_error(buffer, len(buffer))
        super().__init__(buffer.value.decode())
        self.result = result


def _check(result):
    if result != OK:
        raise EventHubError(result)


class EventData:
    """One event: a str, which is sent as UTF-8, or bytes."""

    def __init__(self, body):
        if not isinstance(body, (str, bytes)):
            raise TypeError(f"an event is a str or bytes, and not {type(body).__name__}")
        self.body = body.encode() if isinstance(body, str) else body


class EventDataBatch:
    """Events that are sent in one message."""

    def __init__(self, sender, partition_key):
        self._batch = _pointer()
        key = partition_key.encode() if partition_key is not None else None
        _check(_library.hubwire_batch_new(sender.pointer, key, ctypes.byref(self._batch)))

    def add(self, event):
        """Adds one. ValueError, as the SDK's, for one that does not fit: the batch stays as it was."""
        result = _library.hubwire_batch_add(self._batch, event.body, len(event.body))
        if result in (FULL, TOO_LARGE):
            raise ValueError(str(EventHubError(result)))
        _check(result)

    @property
    def size_in_bytes(self):
        return _library.hubwire_batch_size(self._batch)

    def __len__(self):
        return _library.hubwire_batch_count(self._batch)

    def __del__(self):
        if self._batch:
            _library.hubwire_batch_free(self._batch)


class _Sender:
    """One that calls on several threads may use at a time, and that is closed when none of them does any more."""

    def __init__(self, key):
        self.pointer, self.users = _pointer(), 0
        connection_string, event_hub = (text.encode() if text is not None else None for text in key)
        _check(_library.hubwire_open(connection_string, event_hub, None, ctypes.byref(self.pointer)))


# (connection string, event hub) -> sender.
_senders = {}
_lock = threading.Lock()


@atexit.register
def _close_all():
    while _senders:
        _library.hubwire_close(_senders.popitem()[1].pointer)


def _forget_all():
    """In a forked child: the senders are its parent's, and so may the lock be."""
    global _lock
    _lock = threading.Lock()
    _senders.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


@contextlib.contextmanager
def _sender(key):
    """The one that is kept, for the time of a call."""
    with _lock:
        if key not in _senders:
            _senders[key] = _Sender(key)
        sender = _senders[key]
        sender.users += 1
    try:
        yield sender
    except EventHubError as error:
        if error.result != INVALID and not error.is_retryable:
            with _lock:
                if _senders.get(key) is sender:
                    del _senders[key]
        raise
    finally:
        with _lock:
            sender.users -= 1
            is_over = not sender.users and _senders.get(key) is not sender
        if is_over:
            _library.hubwire_close(sender.pointer)


class EventHubProducerClient:
    """Sends batches. Calls run on a thread of the event loop's, which they would else hold up."""

    def __init__(self, key):
        self._key = key

    @classmethod
    def from_connection_string(cls, conn_str, *, eventhub_name=None):
        return cls((conn_str, eventhub_name))

    async def create_batch(self, *, partition_key=None):
        return await asyncio.get_running_loop().run_in_executor(None, self._create_batch, partition_key)

    def _create_batch(self, partition_key):
        with _sender(self._key) as sender:
            return EventDataBatch(sender, partition_key)

    async def send_batch(self, batch):
        await asyncio.get_running_loop().run_in_executor(None, self._send_batch, batch)

    def _send_batch(self, batch):
        with _sender(self._key) as sender:
            _check(_library.hubwire_send_batch(sender.pointer, batch._batch))

    async def close(self):
        """The connection is kept for the next one: see the module."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()
