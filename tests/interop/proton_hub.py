"""An event hub as Qpid Proton makes one: takes tokens and batches, and reports what it has understood.

    proton_hub.py MAX_FRAME_SIZE

Prints `ready PORT`, then JSON, one line for each request to $cbs and for each message to a hub. The hub `missing`
does not exist, `rejects` rejects everything, and `releases` releases it. Ends when its input does.
"""

import os
import socket
import sys
import threading

from proton import Condition, Delivery, Handler, Message, Terminus, Transport, int32

import proton_codec
from proton_peer import Peer, report

MAX_MESSAGE_SIZE = 1_048_576
CREDIT = 5
# A message of a mebibyte has to wait for the session's window again and again.
WINDOW_FRAMES = 16


class Hub(Handler):
    def __init__(self, max_frame_size):
        self.max_frame_size = max_frame_size
        self.answers = None
        self.payloads = {}
        self.peer = None

    def on_connection_remote_open(self, event):
        event.connection.container = "proton-hub"
        event.connection.open()

    def on_session_remote_open(self, event):
        event.session.incoming_capacity = WINDOW_FRAMES * self.max_frame_size
        event.session.open()

    def on_link_remote_open(self, event):
        link = event.link
        if link.remote_target.address == "missing":
            refuse(link)
            return
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.max_message_size = MAX_MESSAGE_SIZE
        link.open()
        if link.is_sender:
            self.answers = link
        else:
            link.flow(CREDIT)

    def on_link_remote_close(self, event):
        event.link.close()

    def on_session_remote_close(self, event):
        event.session.close()

    def on_connection_remote_close(self, event):
        event.connection.close()

    def on_delivery(self, event):
        link, delivery = event.link, event.delivery
        if link.is_sender:
            delivery.settle()
            return
        payload = self.payloads.setdefault(link.name, bytearray())
        # Read as it comes: only that opens the session's window again.
        payload += link.recv(delivery.pending) or b""
        if delivery.partial:
            return
        link.advance()
        self.on_payload(link, delivery, bytes(self.payloads.pop(link.name)))
        delivery.settle()
        link.flow(1)

    def on_payload(self, link, delivery, payload):
        address = link.remote_target.address
        if address == "$cbs":
            delivery.update(Delivery.ACCEPTED)
            self.on_request(payload)
            return
        report(message=understood(address, self.peer.message_format, payload))
        settle_as(address, delivery)

    def on_request(self, payload):
        report(put_token=proton_codec.message(payload), message_format=self.peer.message_format)
        request = Message()
        request.decode(payload)
        answer = Message(
            correlation_id=request.id,
            properties={"status-code": int32(202), "status-description": "Accepted"},
        )
        answer.send(self.answers)


def refuse(link):
    """As the specification has it: an attach without source and target, and a detach that says why."""
    link.source.type = link.target.type = Terminus.UNSPECIFIED
    link.open()
    link.condition = Condition("amqp:not-found", "no such hub")
    link.close()


def settle_as(address, delivery):
    if address == "rejects":
        delivery.local.condition = Condition("amqp:not-allowed", "not here")
        delivery.update(Delivery.REJECTED)
    elif address == "releases":
        delivery.update(Delivery.RELEASED)
    else:
        delivery.update(Delivery.ACCEPTED)


def understood(address, message_format, payload):
    """A batch: its envelope, and each event twice, as the codec and as Proton's `Message` reads it."""
    envelope = proton_codec.message(payload)
    events = [bytes.fromhex(section["data"]) for section in envelope.pop("body")]
    return {
        "address": address,
        "message_format": message_format,
        "len": len(payload),
        "envelope": envelope,
        "events": [proton_codec.message(event) for event in events],
        "messages": [high_level(event) for event in events],
    }


def high_level(encoded):
    message = Message()
    message.decode(encoded)
    body = message.body
    return {
        "subject": message.subject,
        "properties": list(message.properties or {}),
        "body": body.hex() if isinstance(body, (bytes, memoryview)) else None,
    }


def serve(stream, max_frame_size):
    hub = Hub(max_frame_size)
    hub.peer = Peer(stream, hub, Transport.SERVER, max_frame_size)
    with stream:
        hub.peer.run()


def end_with_input():
    sys.stdin.read()
    os._exit(0)


def main():
    max_frame_size = int(sys.argv[1])
    threading.Thread(target=end_with_input, daemon=True).start()
    listener = socket.create_server(("127.0.0.1", 0))
    print("ready", listener.getsockname()[1], flush=True)
    while True:
        stream, _ = listener.accept()
        serve(stream, max_frame_size)


main()
