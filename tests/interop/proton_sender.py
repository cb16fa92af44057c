"""A publisher as Qpid Proton makes one, against an emulator of Event Hubs.

    proton_sender.py CONNECTION_STRING

The connection string names the event hub (`EntityPath`). Prints JSON: what it was answered, and what it has sent.
"""

import base64
import hashlib
import hmac
import socket
import sys
import time
import uuid
from urllib.parse import quote_plus, urlsplit

from proton import (
    Data, Delivery, Described, Endpoint, Handler, Message, Transport, byte, char, decimal32, decimal64, decimal128,
    float32, int32, short, symbol, timestamp, ubyte, uint, ulong, ushort,
)

import proton_codec
from proton_peer import BATCH_TAG, Peer, report

MAX_FRAME_SIZE = 65536
OUTCOMES = {Delivery.ACCEPTED: "accepted", Delivery.REJECTED: "rejected", Delivery.RELEASED: "released"}
EVERY_TYPE = {
    "null": None, "bool": True, "ubyte": ubyte(255), "ushort": ushort(65535), "uint": uint(2**32 - 1),
    "ulong": ulong(2**64 - 1), "byte": byte(-128), "short": short(-32768), "int": int32(-(2**31)), "long": -(2**63),
    "float": float32(1.5), "double": -2.25, "decimal32": decimal32(0x22500001), "decimal64": decimal64(0x2234 << 48),
    "decimal128": decimal128(bytes(range(16))), "char": char("\U0001f980"), "timestamp": timestamp(-1),
    "uuid": uuid.UUID(int=2**127 + 1), "binary": b"\x00\xff", "string": "hüb", "symbol": symbol("name"),
}


class Client(Handler):
    """Takes the answers at `$cbs`; everything else is looked at where it is waited for."""

    answer = None

    def on_delivery(self, event):
        link, delivery = event.link, event.delivery
        if link.is_receiver and not delivery.partial:
            self.answer = Message()
            self.answer.decode(link.recv(delivery.pending))
            link.advance()
            delivery.update(Delivery.ACCEPTED)
            delivery.settle()


class Publisher:
    def __init__(self, connection_string):
        self.parts = dict(pair.split("=", 1) for pair in connection_string.split(";"))
        self.hub = self.parts["EntityPath"]
        self.endpoint = urlsplit(self.parts["Endpoint"])
        self.client = Client()
        stream = socket.create_connection((self.endpoint.hostname, self.endpoint.port))
        self.peer = Peer(stream, self.client, Transport.CLIENT, MAX_FRAME_SIZE)
        self.connection = self.peer.connection
        self.connection.container = "proton-sender"
        self.connection.hostname = self.endpoint.hostname
        self.connection.open()
        self.session = self.connection.session()
        self.session.open()
        self.sent = 0

    def wait(self, until):
        if not self.peer.run(until):
            raise ConnectionError(f"the emulator hung up: {self.connection.remote_condition}")

    def attach_cbs(self):
        self.requests = self.session.sender("requests")
        self.requests.source.address = "proton-requests"
        self.requests.target.address = "$cbs"
        answers = self.session.receiver("answers")
        answers.source.address = "$cbs"
        answers.target.address = "proton-answers"
        self.requests.open()
        answers.open()
        answers.flow(10)
        self.wait(lambda: self.requests.credit > 0)

    def put_token(self, key, hub):
        audience = f"amqp://{self.endpoint.hostname}/{hub}"
        expiry = int(time.time()) + 3600
        request = Message(
            id=uuid.uuid4(),
            address="$cbs",
            reply_to="proton-answers",
            properties={
                "operation": "put-token",
                "type": "servicebus.windows.net:sastoken",
                "name": audience,
                "expiration": timestamp(expiry * 1000),
            },
            body=token(audience, self.parts["SharedAccessKeyName"], key, expiry),
        )
        self.client.answer = None
        delivery = request.send(self.requests)
        self.wait(lambda: self.client.answer is not None and delivery.settled)
        delivery.settle()
        answer = self.client.answer
        report(
            put_token=answer.properties["status-code"],
            status_type=type(answer.properties["status-code"]).__name__,
            description=answer.properties["status-description"],
            is_answer=answer.correlation_id == request.id,
        )

    def attach(self, address):
        """A sender, or None when it was refused; either is reported."""
        link = self.session.sender(f"to {address}")
        link.target.address = address
        link.open()
        self.wait(lambda: link.state & Endpoint.REMOTE_CLOSED or link.credit > 0)
        if link.state & Endpoint.REMOTE_CLOSED:
            report(refused=address, target=link.remote_target.address, condition=link.remote_condition.name,
                   description=link.remote_condition.description)
            link.close()
            return None
        report(attached=address, max_message_size=link.remote_max_message_size)
        return link

    def send(self, link, what, payload, events, tag="single"):
        self.sent += 1
        self.wait(lambda: link.credit > 0)
        delivery = link.delivery(f"{tag}{self.sent}")
        link.send(payload)
        link.advance()
        self.wait(lambda: delivery.remote_state)
        condition = delivery.remote.condition
        report(
            sent=what,
            events=[proton_codec.message(event) for event in events],
            outcome=OUTCOMES[delivery.remote_state],
            settled=delivery.settled,
            condition=condition and [condition.name, condition.description],
        )
        delivery.settle()

    def send_batch(self, link, what, events, envelope=b""):
        self.send(link, what, envelope + b"".join(section(0x75, event) for event in events), events, BATCH_TAG)

    def close(self):
        self.connection.close()
        self.wait(lambda: self.connection.state & Endpoint.REMOTE_CLOSED)
        condition = self.connection.remote_condition
        report(closed=condition and condition.name)


def token(audience, rule, key, expiry):
    resource = quote_plus(audience)
    digest = hmac.new(key.encode(), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    signature = quote_plus(base64.b64encode(digest))
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={rule}"


def section(descriptor, content):
    data = Data()
    data.put_object(Described(ulong(descriptor), content))
    return data.encode()


def everything():
    """An event with every section. Proton's `Message` has no footer: it is put behind."""
    message = Message(
        inferred=True, durable=True, priority=9, ttl=1.5, first_acquirer=True, delivery_count=3,
        id=ulong(2**64 - 1), user_id=b"\x00user", address="to", subject="sübject", reply_to="reply-to",
        correlation_id=uuid.UUID(int=7), content_type="text/plain", content_encoding="gzip",
        expiry_time=1_700_000_000.5, creation_time=1_700_000_000, group_id="group", group_sequence=2**32 - 1,
        reply_to_group_id="reply-group", instructions={symbol("hop"): uint(1)},
        annotations={symbol("x-opt-mine"): [True, {"k": b"v"}]}, properties=EVERY_TYPE, body="bödy".encode(),
    )
    return message.encode() + section(0x78, {symbol("end"): "footer"})


def plain(body):
    return Message(inferred=True, body=body).encode()


def main():
    publisher = Publisher(sys.argv[1])
    publisher.attach_cbs()
    key = publisher.parts["SharedAccessKey"]
    publisher.put_token("not the key", publisher.hub)
    publisher.attach(publisher.hub)
    publisher.put_token(key, "unknown")
    # For the whole namespace: without it, a hub that is not there is only unauthorized.
    publisher.put_token(key, "")
    publisher.attach("unknown")
    link = publisher.attach(f"/{publisher.hub}/Partitions/0")
    # Bodies that are no data section: a value, and a sequence.
    others = [Message(body={"k": [1, None]}).encode(), Message(inferred=True, body=["a", uint(2)]).encode()]
    publisher.send_batch(link, "batch", [everything(), plain(b""), *others])
    publisher.send(link, "single", everything(), [everything()])
    many = [plain(bytes([number % 256]) * 1000) for number in range(300)]
    publisher.send_batch(link, "batch of many frames", many)
    publisher.send(link, "message of many frames", plain(b"x" * 300_000), [plain(b"x" * 300_000)])
    publisher.send(link, "too large", plain(b"x" * link.remote_max_message_size), [])
    publisher.send(link, "no message", b"garbage", [])
    publisher.send(link, "after the refusals", plain(b"end"), [plain(b"end")])
    keyed = publisher.attach(publisher.hub)
    annotations = section(0x72, {symbol("x-opt-partition-key"): "device-42"})
    publisher.send_batch(keyed, "keyed batch", [plain(b"keyed")], annotations)
    publisher.close()


main()
