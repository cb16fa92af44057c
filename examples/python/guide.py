"""The guide's sample, in which nothing is changed but what it imports: `from hubwire` stands in the place of `from
azure.eventhub.aio`, `from azure.eventhub` and `import Algorithmia`, which it does not use.

EVENTHUB_NAME is to be replaced by the hub's name, as the guide says.
"""

import asyncio
import os

from hubwire import EventData, EventHubProducerClient

CONNECTION_STR = os.getenv("CONNECTION_STR")
EVENTHUB_NAME = "telemetry"


def apply(input):
    loop = asyncio.get_event_loop()
    loop.run_until_complete(run(input))
    return f"Sent event batch to Azure event hub '{EVENTHUB_NAME}'"


async def run(input):
    producer = EventHubProducerClient.from_connection_string(
        conn_str=CONNECTION_STR,
        eventhub_name=EVENTHUB_NAME)
    async with producer:
        event_data_batch = await producer.create_batch()

        for event in input.get("events"):
            event_data_batch.add(EventData(event))

        await producer.send_batch(event_data_batch)
