"""azure-eventhub: `sdk.py PORT EVENT_LEN EVENTS WARM_UP BATCHES WINDOW [aio]`.

The SDK holds a lock from the send to the outcome, so one batch is on its way at a time. `aio` has as many tasks as the window
all the same, which is what its API offers; without it there is one thread, since more of them only take turns.
"""

import asyncio
import json
import sys
import time

PORT, EVENT_LEN, EVENTS, WARM_UP, BATCHES, WINDOW = map(int, sys.argv[1:7])
TEXT = f"Endpoint=sb://127.0.0.1:{PORT};SharedAccessKeyName=any;SharedAccessKey=a2V5;UseDevelopmentEmulator=true"
BODY = b"\7" * EVENT_LEN


def fill(batch):
    for _ in range(EVENTS):
        batch.add(EventData(BODY))
    return batch


class Span:
    def __init__(self):
        self.began, self.cpu_before = time.perf_counter(), time.process_time()

    def tell(self):
        seconds, cpu_seconds = time.perf_counter() - self.began, time.process_time() - self.cpu_before
        # Not ru_maxrss: that would be of the one who started this program, if that was larger.
        with open("/proc/self/status") as status:
            peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        told = {"events": BATCHES * EVENTS, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_kib": peak_kib}
        print(json.dumps(told), flush=True)


def run():
    with EventHubProducerClient.from_connection_string(TEXT, eventhub_name="telemetry") as client:

        def publish(batches):
            for _ in range(batches):
                client.send_batch(fill(client.create_batch()))

        publish(1)
        print("first", flush=True)
        publish(WARM_UP)
        span = Span()
        publish(BATCHES)
        span.tell()


async def run_aio():
    async with EventHubProducerClient.from_connection_string(TEXT, eventhub_name="telemetry") as client:

        async def task(number, batches):
            for _ in range(number, batches, WINDOW):
                await client.send_batch(fill(await client.create_batch()))

        async def publish(batches):
            await asyncio.gather(*(task(number, batches) for number in range(WINDOW)))

        await publish(1)
        print("first", flush=True)
        await publish(WARM_UP)
        span = Span()
        await publish(BATCHES)
        span.tell()


# Only what is used: the time it takes to import counts.
if sys.argv[7:] == ["aio"]:
    from azure.eventhub import EventData
    from azure.eventhub.aio import EventHubProducerClient

    asyncio.run(run_aio())
else:
    from azure.eventhub import EventData, EventHubProducerClient

    run()
