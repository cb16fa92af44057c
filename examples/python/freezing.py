"""A handler as serverless hosts have them: one request at a time, a connection that is kept, and a process that is frozen in
between, for as long as the host likes. Here a request is a line of standard input, and each is an event.
"""

import asyncio
import os
import sys

from hubwire import UNKNOWN, EventData, EventHubError, EventHubProducerClient

producer = EventHubProducerClient.from_connection_string(
    os.environ["CONNECTION_STR"], eventhub_name=os.environ.get("EVENTHUB_NAME"))


async def handle(event):
    try:
        batch = await producer.create_batch()
        batch.add(EventData(event))
        # What became of the connection meanwhile is looked at first.
        await producer.send_batch(batch)
        return "accepted"
    except EventHubError as error:
        return f"{'unknown, sending again may duplicate' if error.result == UNKNOWN else 'not stored'}: {error}"


for line in sys.stdin:
    print(asyncio.run(handle(line.rstrip("\n"))), flush=True)
