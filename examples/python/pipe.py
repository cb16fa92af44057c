"""A pipe from a log file: each line is an event, in batches, for as long as lines come.

tail -n +1 -F app.log | CONNECTION_STR='Endpoint=sb://...' EVENTHUB_NAME=telemetry python3 pipe.py
"""

import asyncio
import os
import select
import sys

from hubwire import EventData, EventHubProducerClient


def lines():
    """Each line, and whether the next read may wait."""
    held = b""
    while piece := os.read(sys.stdin.fileno(), 65_536):
        *whole, held = (held + piece).split(b"\n")
        is_more_there = bool(select.select([sys.stdin], [], [], 0)[0])
        for number, line in enumerate(whole, 1):
            yield line, number == len(whole) and not is_more_there
    if held:
        yield held, True


async def main():
    producer = EventHubProducerClient.from_connection_string(
        os.environ["CONNECTION_STR"], eventhub_name=os.environ.get("EVENTHUB_NAME"))
    batch, accepted = await producer.create_batch(), 0
    for line, may_wait in lines():
        try:
            batch.add(EventData(line))
        except ValueError:
            accepted += await send(producer, batch)
            batch.add(EventData(line))
        if may_wait:
            accepted += await send(producer, batch)
    accepted += await send(producer, batch)
    print(f"accepted {accepted} events")


async def send(producer, batch):
    count = len(batch)
    if count:
        await producer.send_batch(batch)
    return count


asyncio.run(main())
