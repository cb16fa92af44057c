"""hubwire in Python, over its C interface: the producer of `azure.eventhub.aio`, as far as a publisher needs it.

A program that publishes with the SDK publishes with this: only its import changes. Senders are kept for the life of the
process, whatever is opened and closed, so that a second call finds a connection; a process may sleep or freeze in between.
What cannot be an event is refused here, where the SDK sends something else.

`HUBWIRE_LIBRARY` names libhubwire.so, if the system does not find it.
"""

import asyncio
import atexit
import ctypes
import os

OK, REJECTED, NOT_SENT, UNKNOWN, FULL, TOO_LARGE = range(6)

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
]:
    _function = getattr(_library, _name)
    _function.restype, _function.argtypes = _result, _arguments


class EventHubError(Exception):
    """What a call came to, in `result`: REJECTED, NOT_SENT (safe to send again), UNKNOWN (that may duplicate), or another."""

    def __init__(self, result):
        # Of the thread that made the call.
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
        _check(_library.hubwire_batch_new(sender, key, ctypes.byref(self._batch)))

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


# (connection string, event hub) -> sender.
_senders = {}


@atexit.register
def _close_all():
    while _senders:
        _library.hubwire_close(_senders.popitem()[1])


def _sender(key):
    if key not in _senders:
        sender = _pointer()
        connection_string, event_hub = (text.encode() if text is not None else None for text in key)
        _check(_library.hubwire_open(connection_string, event_hub, None, ctypes.byref(sender)))
        _senders[key] = sender
    return _senders[key]


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
        return EventDataBatch(_sender(self._key), partition_key)

    async def send_batch(self, batch):
        await asyncio.get_running_loop().run_in_executor(None, self._send_batch, batch)

    def _send_batch(self, batch):
        _check(_library.hubwire_send_batch(_sender(self._key), batch._batch))

    async def close(self):
        """The connection is kept for the next one: see the module."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()
