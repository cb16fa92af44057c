// Drives the official JavaScript SDK, @azure/event-hubs, against the emulator in $CONNECTION_STR.
//
// One line for each check: `ok NAME`, or `FAIL NAME: why`. The emulator has the hubs `checks` (4 partitions), `shared`
// (4 partitions) and `empty` (1 partition), and takes messages of up to 1 MiB. Run it where the SDK is installed.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

// The SDK lies beside the working directory, not beside this file.
const require = createRequire(pathToFileURL(path.join(process.cwd(), "here.js")));
const { EventHubProducerClient, EventHubConsumerClient, earliestEventPosition, latestEventPosition } =
  require("@azure/event-hubs");

const text = process.env.CONNECTION_STR;
const HUB = "checks";
const retryOptions = { maxRetries: 1, retryDelayInMs: 100 };
const PATIENCE_MS = 30_000;

let failed = false;

async function check(name, body) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  try {
    await Promise.race([body(), late]);
    console.log(`ok ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAIL ${name}: ${`${error.name} ${error.code ?? ""} ${error.message}`.replaceAll("\n", " ")}`);
  } finally {
    clearTimeout(timer);
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function withProducer(action, { hub = HUB, connection = text } = {}) {
  const client = new EventHubProducerClient(connection, hub, { retryOptions });
  try {
    return await action(client);
  } finally {
    await client.close();
  }
}

const partition = (id, hub = HUB) => withProducer((client) => client.getPartitionProperties(id), { hub });
const nextOf = async (id) => (await partition(id)).lastEnqueuedSequenceNumber + 1;

function send(bodies, options = {}) {
  return withProducer(async (client) => {
    const batch = await client.createBatch(options);
    for (const body of bodies) assert.ok(batch.tryAdd(typeof body === "object" ? body : { body }));
    await client.sendBatch(batch);
  });
}

// The first `count` events from a position; `before` runs once the receiver had time to attach.
async function read(count, partitionId, startPosition, { before, ...more } = {}) {
  const client = new EventHubConsumerClient("$Default", text, HUB, { retryOptions });
  const events = [];
  let told;
  try {
    await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error(`${events.length} of ${count} events came`)), 15_000).unref();
      client.subscribe(
        partitionId,
        {
          processEvents: async (batch, context) => {
            events.push(...batch);
            told = context.lastEnqueuedEventProperties;
            if (events.length >= count) resolve();
          },
          processError: async (error) => reject(error),
        },
        { startPosition, ...more },
      );
      if (before) sleep(1_500).then(before).catch(reject);
    });
  } finally {
    await client.close();
  }
  return { events: events.slice(0, count), told };
}

const bodies = (read) => read.events.map((event) => event.body);

// `action` rejects soon, with this code, in these words.
async function expect(code, words, action) {
  const began = Date.now();
  try {
    await action();
  } catch (raised) {
    // With retries it is a list of what each try met: this SDK tries again even after a 401.
    const error = raised.errors?.at(-1) ?? raised;
    assert.equal(error.code, code, error.message);
    assert.ok(error.message.includes(words), error.message);
    assert.ok(Date.now() - began < 15_000, "it took too long");
    return;
  }
  assert.fail("no error");
}

async function threeInARow() {
  const first = await nextOf("2");
  for (const body of ["r1", "r2", "r3"]) {
    await send([body], { partitionId: "2" });
    await sleep(50);
  }
  return (await read(3, "2", { sequenceNumber: first, isInclusive: true })).events;
}

// A checkpoint store in memory, as the SDK's own tests have one.
class Store {
  owners = new Map();
  checkpoints = new Map();
  etag = 0;

  async listOwnership() {
    return [...this.owners.values()].map((owner) => ({ ...owner }));
  }

  async claimOwnership(wanted) {
    const claimed = [];
    for (const ownership of wanted) {
      const held = this.owners.get(ownership.partitionId);
      if (held && held.etag !== ownership.etag) continue;
      const now = { ...ownership, etag: `${++this.etag}`, lastModifiedTimeInMs: Date.now() };
      this.owners.set(ownership.partitionId, now);
      claimed.push({ ...now });
    }
    return claimed;
  }

  async updateCheckpoint(checkpoint) {
    this.checkpoints.set(checkpoint.partitionId, checkpoint);
  }

  async listCheckpoints() {
    return [...this.checkpoints.values()];
  }
}

async function processors() {
  const store = new Store();
  const seen = new Map();
  await withProducer(
    async (client) => {
      for (const partitionId of ["0", "1", "2", "3"]) {
        const batch = await client.createBatch({ partitionId });
        for (let number = 0; number < 5; number++) batch.tryAdd({ body: `${partitionId}-${number}` });
        await client.sendBatch(batch);
      }
    },
    { hub: "shared" },
  );
  const start = (name) => {
    const client = new EventHubConsumerClient("$Default", text, "shared", store, {
      retryOptions,
      loadBalancingOptions: { strategy: "balanced", updateIntervalInMs: 500, partitionOwnershipExpirationIntervalInMs: 3_000 },
    });
    const subscription = client.subscribe(
      {
        processEvents: async (events, context) => {
          for (const event of events) {
            if (!seen.has(event.body)) seen.set(event.body, new Set());
            seen.get(event.body).add(name);
            await context.updateCheckpoint(event);
          }
        },
        processError: async () => {},
      },
      { startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1 },
    );
    return { client, subscription };
  };
  const both = [start("first"), start("second")];
  const workers = () => new Set([...seen.values()].flatMap((names) => [...names]));
  const isDone = () => seen.size >= 20 && workers().size === 2;
  for (let number = 0; number < 20 && !isDone(); number++) {
    await sleep(1_000);
    for (const partitionId of ["0", "1", "2", "3"]) {
      await withProducer((client) => client.sendBatch([{ body: `${partitionId}-more-${number}` }], { partitionId }), {
        hub: "shared",
      });
    }
  }
  for (const { client, subscription } of both) {
    await subscription.close();
    await client.close();
  }
  assert.ok(isDone(), `${seen.size} events, by ${[...workers()]}`);
}

async function steal() {
  const errors = [];
  const [low, high] = [1, 2].map(() => new EventHubConsumerClient("$Default", text, HUB, { retryOptions }));
  const attached = new Promise((resolve) => {
    low.subscribe(
      "0",
      { processEvents: async () => resolve(), processError: async (error) => errors.push(error) },
      { startPosition: earliestEventPosition, ownerLevel: 1, maxWaitTimeInSeconds: 1 },
    );
  });
  await attached;
  high.subscribe(
    "0",
    { processEvents: async () => {}, processError: async () => {} },
    { startPosition: earliestEventPosition, ownerLevel: 2 },
  );
  for (let turn = 0; turn < 100 && errors.length === 0; turn++) await sleep(100);
  await sleep(1_000);
  await low.close();
  await high.close();
  assert.equal(errors[0]?.code, "ReceiverDisconnectedError", `${errors[0]}`);
  assert.ok(errors.length < 5, `${errors.length} errors: it did not stop`);
}

async function errorOfReceiver(group, partitionId) {
  const client = new EventHubConsumerClient(group, text, HUB, { retryOptions });
  try {
    return await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error("no error came")), 15_000).unref();
      client.subscribe(
        partitionId,
        { processEvents: async () => {}, processError: async (error) => resolve(error) },
        { startPosition: earliestEventPosition },
      );
    });
  } finally {
    await client.close();
  }
}

const CHECKS = {
  "send-one-event": () => withProducer((client) => client.sendBatch([{ body: "solo" }])),
  "send-batch": () => send(["one", "two", "three"]),
  "send-to-partition-id": async () => {
    const first = await nextOf("1");
    await send(["a", "b"], { partitionId: "1" });
    assert.deepEqual(bodies(await read(2, "1", { sequenceNumber: first, isInclusive: true })), ["a", "b"]);
  },
  "send-with-partition-key": async () => {
    const ids = ["0", "1", "2", "3"];
    const before = await Promise.all(ids.map(nextOf));
    await send(["k1", "k2"], { partitionKey: "device-42" });
    await send(["k3"], { partitionKey: "device-42" });
    const after = await Promise.all(ids.map(nextOf));
    const grown = ids.filter((_, index) => after[index] > before[index]);
    assert.equal(grown.length, 1);
    const { events } = await read(3, grown[0], { sequenceNumber: before[Number(grown[0])], isInclusive: true });
    assert.deepEqual(events.map((event) => [event.body, event.partitionKey]), [
      ["k1", "device-42"],
      ["k2", "device-42"],
      ["k3", "device-42"],
    ]);
  },
  "all-property-types": async () => {
    const first = await nextOf("0");
    const date = new Date(1_795_374_629_914);
    const properties = {
      text: "Grüße 🚀",
      true: true,
      false: false,
      small: 7,
      int: 2 ** 31 - 1,
      uint: 2 ** 32 - 1,
      long: 2 ** 40,
      negative: -70_000,
      double: 1.5,
      null: null,
      date,
    };
    const event = { body: { nested: [1, "two"] }, properties, messageId: "id-1", correlationId: "corr-1", contentType: "text/plain" };
    await send([event, { body: Buffer.from([0, 255]) }], { partitionId: "0" });
    const { events } = await read(2, "0", { sequenceNumber: first, isInclusive: true });
    assert.deepEqual(events[0].body, event.body);
    assert.deepEqual({ ...events[0].properties, date: new Date(events[0].properties.date) }, properties);
    assert.deepEqual(
      [events[0].messageId, events[0].correlationId, events[0].contentType],
      ["id-1", "corr-1", "text/plain"],
    );
    assert.deepEqual([...events[1].body], [0, 255]);
  },
  "large-batch": async () => {
    const before = await nextOf("2");
    const count = await withProducer(async (client) => {
      const batch = await client.createBatch({ partitionId: "2" });
      assert.equal(batch.maxSizeInBytes, 1_048_576);
      while (batch.tryAdd({ body: "x".repeat(1_000) }));
      await client.sendBatch(batch);
      return batch.count;
    });
    assert.ok(count > 900);
    assert.equal(await nextOf("2"), before + count);
  },
  "hub-properties": async () => {
    const told = await withProducer((client) => client.getEventHubProperties());
    assert.deepEqual([told.name, told.partitionIds], [HUB, ["0", "1", "2", "3"]]);
    assert.ok(told.createdOn instanceof Date);
  },
  "partition-properties": async () => {
    const empty = await partition("0", "empty");
    assert.deepEqual([empty.isEmpty, empty.lastEnqueuedSequenceNumber], [true, -1]);
    const before = await nextOf("3");
    await send(["last"], { partitionId: "3" });
    const told = await partition("3");
    assert.deepEqual([told.isEmpty, told.lastEnqueuedSequenceNumber], [false, before]);
    assert.ok(Math.abs(Date.now() - told.lastEnqueuedOnUtc) < 60_000);
    const { events } = await read(1, "3", { sequenceNumber: before, isInclusive: true });
    assert.equal(`${events[0].offset}`, told.lastEnqueuedOffset);
  },
  "receive-earliest": async () => {
    const { events } = await read(2, "1", earliestEventPosition);
    assert.deepEqual(events.map((event) => event.sequenceNumber), [0, 1]);
  },
  "receive-latest": async () => {
    const before = () => send(["after"], { partitionId: "1" });
    assert.deepEqual(bodies(await read(1, "1", latestEventPosition, { before })), ["after"]);
  },
  "receive-from-offset": async () => {
    const [{ offset }] = await threeInARow();
    assert.deepEqual(bodies(await read(2, "2", { offset })), ["r2", "r3"]);
    assert.deepEqual(bodies(await read(3, "2", { offset, isInclusive: true })), ["r1", "r2", "r3"]);
  },
  "receive-from-sequence-number": async () => {
    const [{ sequenceNumber }] = await threeInARow();
    assert.deepEqual(bodies(await read(2, "2", { sequenceNumber })), ["r2", "r3"]);
    assert.deepEqual(bodies(await read(3, "2", { sequenceNumber, isInclusive: true })), ["r1", "r2", "r3"]);
  },
  "receive-from-enqueued-time": async () => {
    const [{ enqueuedTimeUtc }] = await threeInARow();
    assert.deepEqual(bodies(await read(2, "2", { enqueuedOn: enqueuedTimeUtc })), ["r2", "r3"]);
  },
  "last-enqueued-event-properties": async () => {
    const first = await nextOf("0");
    await send(["m1", "m2"], { partitionId: "0" });
    const start = { sequenceNumber: first, isInclusive: true };
    const { told } = await read(2, "0", start, { trackLastEnqueuedEventProperties: true });
    assert.equal(told.sequenceNumber, first + 1);
  },
  "processor-two-consumers": processors,
  "owner-level-steals": steal,
  "wrong-key-401": () =>
    expect("UnauthorizedError", "InvalidSignature", () =>
      withProducer((client) => client.getEventHubProperties(), {
        connection: text.replace("SAS_KEY_VALUE", "wrong"),
      }),
    ),
  "hub-not-found": () =>
    expect("MessagingEntityNotFoundError", "could not be found", () =>
      withProducer((client) => client.sendBatch([{ body: "x" }]), { hub: "none" }),
    ),
  "message-too-large": () =>
    withProducer(async (client) => {
      const batch = await client.createBatch();
      assert.equal(batch.tryAdd({ body: "x".repeat(1_100_000) }), false);
      await assert.rejects(client.sendBatch([{ body: "x".repeat(1_100_000) }]), /too large|exceed|Messages cannot be larger/i);
      await client.sendBatch([{ body: "still usable" }]);
    }),
  "unknown-consumer-group": async () => {
    const error = await errorOfReceiver("none", "0");
    assert.equal(error.code, "MessagingEntityNotFoundError", error.message);
  },
  "unknown-partition": async () => {
    await expect("ArgumentOutOfRangeError", "specified partition is invalid", () =>
      withProducer((client) => client.sendBatch([{ body: "x" }], { partitionId: "9" })),
    );
    assert.equal((await errorOfReceiver("$Default", "9")).code, "ArgumentOutOfRangeError");
  },
};

const only = process.argv.slice(2);
for (const [name, body] of Object.entries(CHECKS)) {
  if (only.length === 0 || only.includes(name)) await check(name, body);
}
process.exit(failed ? 1 : 0);
