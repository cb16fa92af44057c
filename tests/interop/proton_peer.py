"""One AMQP connection, carried by Proton's transport over a socket.

Proton drops the message-format of transfers that it receives, and writes 0 on those that it sends. Event Hubs tells
batches by it. So frames are looked at, and where need be changed, on their way between transport and socket.
"""

import json
import time

from proton import Collector, Connection, Data, Described, Transport, uint, ulong

BATCH_FORMAT = 0x80013700
TRANSFER = 0x14
# Deliveries with such a tag leave as batches. Room for what the longer message-format takes is cut from the tag.
BATCH_TAG = "batch-with-a-long-tag-"
# Silence for this long is the end: a script must not outlive a test that hangs.
PATIENCE_SECS = 60


def report(**line):
    print(json.dumps(line), flush=True)


class Frames:
    """Cuts a stream of bytes into protocol headers and frames."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, chunk):
        self.buffer += chunk
        while len(self.buffer) >= 8:
            length = 8 if self.buffer.startswith(b"AMQP") else int.from_bytes(self.buffer[:4], "big")
            if len(self.buffer) < length:
                return
            frame = bytes(self.buffer[:length])
            del self.buffer[:length]
            yield frame


def transfer(frame):
    """The fields of a transfer, and where its payload begins; (None, 0) for anything else."""
    # The second test leaves out protocol headers, SASL frames and heartbeats.
    start = frame[4] * 4
    if frame.startswith(b"AMQP") or frame[5] != 0 or len(frame) <= start:
        return None, 0
    data = Data()
    taken = data.decode(frame[start:])
    data.rewind()
    data.next()
    performative = data.get_object()
    if performative.descriptor != TRANSFER:
        return None, 0
    fields = [bytes(field) if isinstance(field, memoryview) else field for field in performative.value]
    return fields, start + taken


def encode_transfer(fields):
    data = Data()
    data.put_object(Described(ulong(TRANSFER), fields))
    return data.encode()


def as_batch(frame):
    """The frame with the batches' message-format, if it is one of a batch; its length does not change."""
    fields, payload_at = transfer(frame)
    if not fields or not (fields[2] or b"").startswith(BATCH_TAG.encode()):
        return frame
    fields[3] = uint(BATCH_FORMAT)
    excess = len(encode_transfer(fields)) - (payload_at - 8)
    fields[2] = fields[2][excess:]
    changed = frame[:8] + encode_transfer(fields) + frame[payload_at:]
    assert len(changed) == len(frame), "the tag has room enough"
    return changed


class Peer:
    def __init__(self, stream, handler, mode, max_frame_size):
        stream.settimeout(PATIENCE_SECS)
        self.stream = stream
        self.handler = handler
        self.connection = Connection()
        self.collector = Collector()
        self.connection.collect(self.collector)
        self.transport = Transport(mode)
        self.transport.max_frame_size = max_frame_size
        self.transport.sasl().allowed_mechs("ANONYMOUS")
        self.transport.bind(self.connection)
        self.incoming, self.outgoing = Frames(), Frames()
        # By channel and handle: only the first transfer of a delivery has to say it.
        self.formats = {}
        # That of the latest transfer, which is the last of a delivery whenever one is complete.
        self.message_format = None

    def run(self, until=lambda: False):
        """Goes on until `until()` holds, or the other side is gone; tells which."""
        self.work()
        while not until():
            chunk = self.stream.recv(65536)
            if not chunk:
                return False
            for frame in self.incoming.feed(chunk):
                self.take(frame)
        return True

    def take(self, frame):
        """One frame at a time, so that what happens is known to be this frame's doing."""
        fields, _ = transfer(frame)
        if fields:
            self.note_format(int.from_bytes(frame[6:8], "big"), fields)
        while frame:
            part = frame[: self.transport.capacity()]
            self.transport.push(part)
            frame = frame[len(part):]
            self.work()

    def note_format(self, channel, fields):
        key = (channel, fields[0])
        if len(fields) > 3 and fields[3] is not None:
            self.formats[key] = fields[3]
        self.message_format = self.formats.get(key)

    def work(self):
        """Tells the handler what has happened, and writes what came of it."""
        self.transport.tick(time.monotonic())
        while (event := self.collector.peek()) is not None:
            event.dispatch(self.handler)
            self.collector.pop()
        while (pending := self.transport.pending()) > 0:
            chunk = self.transport.peek(pending)
            self.transport.pop(len(chunk))
            for frame in self.outgoing.feed(chunk):
                self.stream.sendall(as_batch(frame))
