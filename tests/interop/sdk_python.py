"""Drives the official Python SDK, azure-eventhub, sync and aio, against the emulator in $CONNECTION_STR.

One line for each check: `ok NAME`, or `FAIL NAME: why`. The emulator has the hubs `checks` (4 partitions, consumer group
`second`) and `shared` (4 partitions), and takes messages of up to 1 MiB.
"""

import asyncio
import datetime
import os
import sys
import threading
import time
import traceback
import uuid

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.aio import EventHubConsumerClient as AioConsumer
from azure.eventhub.aio import EventHubProducerClient as AioProducer
from azure.eventhub.exceptions import AuthenticationError, ConnectError, ConnectionLostError, EventHubError

CONNECTION_STR = os.environ["CONNECTION_STR"]
HUB = "checks"
QUICK = {"retry_total": 1, "retry_backoff_factor": 0.1}
PATIENCE_SECS = 30

failed = False


def check(name, body):
    """Runs one check on a thread of its own, so that one that hangs is told and left behind."""
    global failed
    result = []

    def run():
        try:
            body()
            result.append(None)
        except BaseException as error:  # what a check raises is its result
            result.append("".join(traceback.format_exception_only(error)).strip().replace("\n", " "))
            if os.environ.get("HUBWIRE_INTEROP_TRACE"):
                traceback.print_exc()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECS)
    why = result[0] if result else f"no end within {PATIENCE_SECS} s"
    failed = failed or why is not None
    print(f"ok {name}" if why is None else f"FAIL {name}: {why}", flush=True)


def producer(hub=HUB, text=CONNECTION_STR):
    return EventHubProducerClient.from_connection_string(text, eventhub_name=hub, **QUICK)


def consumer(hub=HUB, group="$Default", text=CONNECTION_STR):
    return EventHubConsumerClient.from_connection_string(text, consumer_group=group, eventhub_name=hub, **QUICK)


def partition(id, hub=HUB):
    with producer(hub) as client:
        return client.get_partition_properties(id)


def next_of(id):
    return partition(id)["last_enqueued_sequence_number"] + 1


def send(bodies, **where):
    with producer() as client:
        batch = client.create_batch(**where)
        for body in bodies:
            batch.add(EventData(body))
        client.send_batch(batch)


def read(count, partition_id, position, inclusive=False, before=None, **more):
    """The first `count` events from a position; `before` runs once the receiver has been given time to attach."""
    client = consumer()
    events = []
    done = threading.Event()

    def on_event(context, event):
        if event is not None:
            events.append((event, context.last_enqueued_event_properties))
        if len(events) >= count:
            done.set()

    def receive():
        client.receive(
            on_event,
            partition_id=partition_id,
            starting_position=position,
            starting_position_inclusive=inclusive,
            max_wait_time=1,
            **more,
        )

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    if before:
        time.sleep(2)
        before()
    done.wait(15)
    client.close()
    thread.join(10)
    assert len(events) >= count, f"{len(events)} of {count} events came"
    return events[:count]


def bodies(events):
    return [event.body_as_str() for event, _ in events]


def expect(error_type, words, action, within_secs=15):
    """`action` raises, soon, and in these words."""
    began = time.monotonic()
    try:
        action()
    except error_type as error:
        assert words in str(error), f"not {words!r} in {error}"
        took = time.monotonic() - began
        assert took < within_secs, f"took {took:.1f} s"
        return
    raise AssertionError(f"no {error_type.__name__}")


def single():
    with producer() as client:
        client.send_event(EventData("solo"), partition_id="0")


def batch():
    send(["one", "two", "three"])


def to_partition():
    first = next_of("1")
    send(["a", "b"], partition_id="1")
    assert bodies(read(2, "1", first, inclusive=True)) == ["a", "b"]


def with_key():
    before = {id: next_of(id) for id in "0123"}
    send(["k1", "k2"], partition_key="device-42")
    send(["k3"], partition_key="device-42")
    grown = [id for id in "0123" if next_of(id) > before[id]]
    assert len(grown) == 1, grown
    events = read(3, grown[0], before[grown[0]], inclusive=True)
    assert bodies(events) == ["k1", "k2", "k3"]
    assert all(event.partition_key == b"device-42" for event, _ in events)


def property_types():
    first = next_of("0")
    now = datetime.datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=datetime.timezone.utc)
    id = uuid.uuid4()
    properties = {
        "text": "Grüße 🚀",
        "bytes": b"\x00\xff",
        "true": True,
        "false": False,
        "small": 7,
        "int": 2**31 - 1,
        "negative": -70_000,
        "double": 1.5,
        "null": None,
        "uuid": id,
    }
    event = EventData("typed")
    event.properties = properties
    event.message_id = "id-1"
    event.correlation_id = "corr-1"
    event.content_type = "text/plain"
    event.raw_amqp_message.annotations = {"x-own": now.year}
    with producer() as client:
        client.send_event(event, partition_id="0")
    [(got, _)] = read(1, "0", first, inclusive=True)
    for key, value in properties.items():
        expected = value.encode() if isinstance(value, str) else value
        assert got.properties[key.encode()] == expected, (key, got.properties[key.encode()])
    assert (got.message_id, got.correlation_id, got.content_type) == ("id-1", "corr-1", "text/plain")
    assert got.raw_amqp_message.annotations[b"x-own"] == now.year


def large_batch():
    before = next_of("2")
    with producer() as client:
        batch = client.create_batch(partition_id="2")
        assert batch.max_size_in_bytes == 1_048_576, batch.max_size_in_bytes
        count = 0
        while True:
            try:
                batch.add(EventData("x" * 1_000))
                count += 1
            except ValueError:
                break
        client.send_batch(batch)
    assert count > 1_000
    assert next_of("2") == before + count


def hub_properties():
    with producer() as client:
        told = client.get_eventhub_properties()
    assert told["eventhub_name"] == HUB and told["partition_ids"] == ["0", "1", "2", "3"], told
    assert told["created_at"].tzinfo is not None


def partition_properties():
    empty = partition("0", "empty")
    assert empty["is_empty"] is True and empty["last_enqueued_sequence_number"] == -1, empty
    before = next_of("3")
    send(["last"], partition_id="3")
    told = partition("3")
    assert told["is_empty"] is False and told["last_enqueued_sequence_number"] == before, told
    age = datetime.datetime.now(datetime.timezone.utc) - told["last_enqueued_time_utc"]
    assert abs(age.total_seconds()) < 60, told
    [(event, _)] = read(1, "3", before, inclusive=True)
    assert event.offset == told["last_enqueued_offset"]


def earliest():
    events = read(2, "1", "-1")
    assert [event.sequence_number for event, _ in events] == [0, 1]


def latest():
    events = read(1, "1", "@latest", before=lambda: send(["after"], partition_id="1"))
    assert bodies(events) == ["after"]


def three_in_a_row():
    """Three events in partition 2, each in a message and a moment of its own: their places."""
    first = next_of("2")
    for body in ["r1", "r2", "r3"]:
        send([body], partition_id="2")
        time.sleep(0.05)
    return [event for event, _ in read(3, "2", first, inclusive=True)]


def from_offset():
    events = three_in_a_row()
    assert bodies(read(2, "2", events[0].offset)) == ["r2", "r3"]
    assert bodies(read(3, "2", events[0].offset, inclusive=True)) == ["r1", "r2", "r3"]


def from_sequence_number():
    events = three_in_a_row()
    assert bodies(read(2, "2", events[0].sequence_number)) == ["r2", "r3"]
    assert bodies(read(3, "2", events[0].sequence_number, inclusive=True)) == ["r1", "r2", "r3"]


def from_enqueued_time():
    events = three_in_a_row()
    assert bodies(read(2, "2", events[0].enqueued_time)) == ["r2", "r3"]


def last_enqueued():
    first = next_of("0")
    send(["m1", "m2"], partition_id="0")
    events = read(2, "0", first, inclusive=True, track_last_enqueued_event_properties=True)
    told = events[-1][1]
    assert told["sequence_number"] == first + 1 and told["offset"] == events[-1][0].offset, told


class Store:
    """A checkpoint store in memory, as the SDK's samples have one: shared by the processors of one process."""

    def __init__(self):
        self.owners, self.checkpoints, self.lock = {}, {}, threading.Lock()

    def list_ownership(self, *_, **__):
        with self.lock:
            return [dict(owner) for owner in self.owners.values()]

    def claim_ownership(self, ownership_list, **__):
        claimed = []
        with self.lock:
            for wanted in ownership_list:
                held = self.owners.get(wanted["partition_id"])
                if held is None or held.get("etag") == wanted.get("etag"):
                    new = dict(wanted, etag=str(uuid.uuid4()), last_modified_time=time.time())
                    self.owners[wanted["partition_id"]] = new
                    claimed.append(dict(new))
        return claimed

    def list_checkpoints(self, *_, **__):
        with self.lock:
            return [dict(checkpoint) for checkpoint in self.checkpoints.values()]

    def update_checkpoint(self, checkpoint, **__):
        with self.lock:
            self.checkpoints[checkpoint["partition_id"]] = dict(checkpoint)


def processors():
    store, seen, lock, done = Store(), {}, threading.Lock(), threading.Event()
    with producer("shared") as client:
        for id in "0123":
            batch = client.create_batch(partition_id=id)
            for number in range(5):
                batch.add(EventData(f"{id}-{number}"))
            client.send_batch(batch)

    def start(name):
        client = EventHubConsumerClient.from_connection_string(
            CONNECTION_STR,
            consumer_group="$Default",
            eventhub_name="shared",
            checkpoint_store=store,
            load_balancing_interval=0.5,
            partition_ownership_expiration_interval=3,
            **QUICK,
        )

        def on_event(context, event):
            with lock:
                seen.setdefault(event.body_as_str(), []).append(name)
                workers = {worker for workers in seen.values() for worker in workers}
                if len(seen) >= 20 and len(workers) == 2:
                    done.set()
            context.update_checkpoint(event)

        thread = threading.Thread(
            target=lambda: client.receive(on_event, starting_position="-1"), daemon=True
        )
        thread.start()
        return client, thread

    first = start("first")
    second = start("second")
    # Once both own partitions, there is something for both of them.
    for number in range(20):
        if done.wait(1):
            break
        with producer("shared") as client:
            for id in "0123":
                client.send_event(EventData(f"{id}-more-{number}"), partition_id=id)
    for client, thread in [first, second]:
        client.close()
        thread.join(10)
    assert done.is_set(), f"{len(seen)} events, {[workers for workers in seen.values()][-4:]}"


def steal():
    errors, attached = [], threading.Event()
    low, high = consumer(), consumer()

    def run(client, level, on_error):
        client.receive(
            lambda context, event: attached.set(),
            partition_id="0",
            owner_level=level,
            starting_position="-1",
            max_wait_time=1,
            on_error=on_error,
        )

    threads = [threading.Thread(target=run, args=(low, 1, lambda _, error: errors.append(error)), daemon=True)]
    threads[0].start()
    assert attached.wait(10), "the first owner reads"
    threads.append(threading.Thread(target=run, args=(high, 2, lambda *_: None), daemon=True))
    threads[1].start()
    until = time.monotonic() + 15
    while not errors and time.monotonic() < until:
        time.sleep(0.1)
    low.close()
    high.close()
    for thread in threads:
        thread.join(10)
    assert errors and isinstance(errors[0], ConnectionLostError), errors
    assert "amqp:link:stolen" in str(errors[0]) or "higher epoch" in str(errors[0]), errors[0]
    assert len(errors) < 10, f"{len(errors)} errors: it did not stop"


def wrong_key():
    def action():
        with producer(text=CONNECTION_STR.replace("SAS_KEY_VALUE", "wrong")) as client:
            client.get_eventhub_properties()

    expect(AuthenticationError, "InvalidSignature", action)


def no_hub():
    def action():
        with producer("none") as client:
            client.send_event(EventData("x"))

    expect(EventHubError, "could not be found", action)


def too_large():
    with producer() as client:
        expect(EventHubError, "exceed", lambda: client.send_event(EventData("x" * 1_100_000)))
        client.send_event(EventData("still usable"))


def errors_of_receiver(group, partition_id):
    """What the receiver reports that may not attach. With retries this SDK would try for ever, and say nothing: its own
    source calls that a bug (azure-sdk-for-python issue 27137)."""
    errors = []
    client = EventHubConsumerClient.from_connection_string(
        CONNECTION_STR, consumer_group=group, eventhub_name=HUB, retry_total=0
    )
    thread = threading.Thread(
        target=lambda: client.receive(
            lambda *_: None, partition_id=partition_id, on_error=lambda _, error: errors.append(error)
        ),
        daemon=True,
    )
    thread.start()
    until = time.monotonic() + 15
    while not errors and time.monotonic() < until:
        time.sleep(0.1)
    client.close()
    thread.join(10)
    return errors


def no_group():
    errors = errors_of_receiver("none", "0")
    assert errors and "could not be found" in str(errors[0]), errors


def no_partition():
    def action():
        with producer() as client:
            client.send_event(EventData("x"), partition_id="9")

    expect(ConnectError, "Invalid partition 9", action)
    errors = errors_of_receiver("$Default", "9")
    # It asks for the hub's partitions first, and does not try this one.
    assert errors and "Wrong partition id" in str(errors[0]), errors


# ---- aio -------------------------------------------------------------------------------------------------------------


def in_loop(body):
    return lambda: asyncio.run(asyncio.wait_for(body(), PATIENCE_SECS - 2))


def aio_producer():
    return AioProducer.from_connection_string(CONNECTION_STR, eventhub_name=HUB, **QUICK)


async def aio_send():
    async with aio_producer() as client:
        batch = await client.create_batch(partition_id="0")
        batch.add(EventData("aio"))
        await client.send_batch(batch)
        await client.send_event(EventData("aio solo"), partition_key="k")


async def aio_properties():
    async with aio_producer() as client:
        assert (await client.get_eventhub_properties())["partition_ids"] == ["0", "1", "2", "3"]
        assert (await client.get_partition_properties("0"))["is_empty"] is False


async def aio_receive():
    async with aio_producer() as client:
        first = (await client.get_partition_properties("1"))["last_enqueued_sequence_number"] + 1
        batch = await client.create_batch(partition_id="1")
        for body in ["x", "y"]:
            batch.add(EventData(body))
        await client.send_batch(batch)
    got, done = [], asyncio.Event()

    async def on_event(_, event):
        got.append(event.body_as_str())
        if len(got) == 2:
            done.set()

    client = AioConsumer.from_connection_string(
        CONNECTION_STR, consumer_group="second", eventhub_name=HUB, **QUICK
    )
    async with client:
        task = asyncio.ensure_future(
            client.receive(
                on_event, partition_id="1", starting_position=first, starting_position_inclusive=True
            )
        )
        await asyncio.wait_for(done.wait(), 15)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert got == ["x", "y"], got


async def aio_steal():
    errors, attached = [], asyncio.Event()

    def client():
        return AioConsumer.from_connection_string(
            CONNECTION_STR, consumer_group="second", eventhub_name=HUB, **QUICK
        )

    async def on_event(*_):
        attached.set()

    async def on_error(_, error):
        errors.append(error)

    async with client() as low, client() as high:

        def receive(client, level):
            return asyncio.ensure_future(
                client.receive(
                    on_event,
                    partition_id="0",
                    owner_level=level,
                    starting_position="-1",
                    max_wait_time=1,
                    on_error=on_error,
                )
            )

        tasks = [receive(low, 1)]
        await asyncio.wait_for(attached.wait(), 10)
        tasks.append(receive(high, 2))
        for _ in range(150):
            if errors:
                break
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert errors and isinstance(errors[0], ConnectionLostError), errors


CHECKS = [
    ("send-one-event", single),
    ("send-batch", batch),
    ("send-to-partition-id", to_partition),
    ("send-with-partition-key", with_key),
    ("all-property-types", property_types),
    ("large-batch", large_batch),
    ("hub-properties", hub_properties),
    ("partition-properties", partition_properties),
    ("receive-earliest", earliest),
    ("receive-latest", latest),
    ("receive-from-offset", from_offset),
    ("receive-from-sequence-number", from_sequence_number),
    ("receive-from-enqueued-time", from_enqueued_time),
    ("last-enqueued-event-properties", last_enqueued),
    ("processor-two-consumers", processors),
    ("owner-level-steals", steal),
    ("wrong-key-401", wrong_key),
    ("hub-not-found", no_hub),
    ("message-too-large", too_large),
    ("unknown-consumer-group", no_group),
    ("unknown-partition", no_partition),
    ("aio-send", in_loop(aio_send)),
    ("aio-properties", in_loop(aio_properties)),
    ("aio-receive", in_loop(aio_receive)),
    ("aio-owner-level-steals", in_loop(aio_steal)),
]

if __name__ == "__main__":
    only = sys.argv[1:]
    for name, body in CHECKS:
        if not only or name in only:
            check(name, body)
    # Threads of a check that hangs must not keep the process.
    sys.stdout.flush()
    os._exit(1 if failed else 0)
