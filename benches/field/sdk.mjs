// @azure/event-hubs: `sdk.mjs PORT EVENT_LEN EVENTS WARM_UP BATCHES WINDOW`, where the SDK is installed.
//
// As many concurrent loops as the window, each of which packs a batch and sends it. The SDK leaves Nagle's algorithm on,
// and has no option for it.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

// The SDK lies beside the working directory, not beside this file.
const require = createRequire(pathToFileURL(path.join(process.cwd(), "here.js")));
const { EventHubProducerClient } = require("@azure/event-hubs");

const [PORT, EVENT_LEN, EVENTS, WARM_UP, BATCHES, WINDOW] = process.argv.slice(2, 8).map(Number);
const text = `Endpoint=sb://127.0.0.1:${PORT};SharedAccessKeyName=any;SharedAccessKey=a2V5;UseDevelopmentEmulator=true`;
// A Buffer is sent as it is; a text would be sent as JSON.
const body = Buffer.alloc(EVENT_LEN, 7);
const client = new EventHubProducerClient(text, "telemetry");

async function task(number, batches) {
  for (let at = number; at < batches; at += WINDOW) {
    const batch = await client.createBatch();
    for (let event = 0; event < EVENTS; event++) {
      if (!batch.tryAdd({ body })) throw new Error(`the batch is full after ${event} events`);
    }
    await client.sendBatch(batch);
  }
}

const publish = (batches) => Promise.all(Array.from({ length: WINDOW }, (_, number) => task(number, batches)));

function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

await publish(1);
console.log("first");
await publish(WARM_UP);
const [began, cpuBefore] = [performance.now(), cpuSeconds()];
await publish(BATCHES);
const [seconds, cpu_seconds] = [(performance.now() - began) / 1e3, cpuSeconds() - cpuBefore];
// Not maxRSS: that would be of the one who started this program, if that was larger.
const peak_kib = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
console.log(JSON.stringify({ events: BATCHES * EVENTS, seconds, cpu_seconds, peak_kib }));
await client.close();
