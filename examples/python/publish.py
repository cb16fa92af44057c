"""Publish three events, and tell what became of them.

CONNECTION_STR='Endpoint=sb://...' EVENTHUB_NAME=telemetry python3 publish.py
"""

import asyncio
import os
import sys

from hubwire import NOT_SENT, UNKNOWN, EventData, EventHubError, EventHubProducerClient


async def main():
    producer = EventHubProducerClient.from_connection_string(
        os.environ["CONNECTION_STR"], eventhub_name=os.environ.get("EVENTHUB_NAME"))
    batch = await producer.create_batch()
    for event in ("first event", "second event", "..."):
        # Three short events fit any batch; ValueError says that one does not.
        batch.add(EventData(event))
    count = len(batch)
    try:
        await producer.send_batch(batch)
    except EventHubError as error:
        advice = {NOT_SENT: "safe to send again", UNKNOWN: "to send again may duplicate"}
        sys.exit(f"{error}\n{advice.get(error.result, 'refused')}")
    print(f"accepted {count} events")


asyncio.run(main())
