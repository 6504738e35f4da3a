// A service on pg-boss as it stood before: node old_service.mjs URL 9|10 JOBS KEYS. Jobs go in by pg-boss's own calls, keys into the
// table as the service had it. The last line says what there is.
import { createHash } from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const pg = require("pg");
const [url, version, jobs, keys] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])];
const PgBoss = require(version === "9" ? "pg-boss-9" : "pg-boss");
const QUEUES = ["nft-mint", "send-email", "money-queue", "guest", "ghost"];
const BATCH = 1_000;
const DAY = 86_400_000;

const boss = new PgBoss(version === "9" ? { connectionString: url } : { connectionString: url, supervise: false, schedule: false });
boss.on("error", (error) => { throw error; });
await boss.start();
if (version === "10") for (const name of QUEUES) await boss.createQueue(name);

// As the service put it: its own fields around the payload.
const around = (n) => ({ tenantId: `t${n % 3}`, userId: "u1", addedAt: new Date(1_700_000_000_000 + n).toISOString() });
const seat = (n) => ({ ...around(n), eventId: "e1", seatId: `s${n}`, name: `Seat ${n}` });
const mail = (n) => ({ ...around(n), to: `a${n}@example.com`, subject: `Order ${n}`, text: "Hello" });
const options = { retryLimit: 10, retryDelay: 2, retryBackoff: true };

function job(n) {
  if (n % 4 === 1) return { name: "send-email", data: mail(n), priority: 5, ...options };
  if (n % 4 === 2) return { name: "money-queue", data: { type: "nft-mint", ...seat(n) }, priority: 7, ...options };
  if (n % 4 === 3) return { name: "nft-mint", data: seat(n), startAfter: new Date(Date.now() + DAY).toISOString(), priority: 10, ...options };
  return { name: "nft-mint", data: seat(n), ...options };
}
for (let from = 0; from < jobs; from += BATCH) {
  await boss.insert(Array.from({ length: Math.min(BATCH, jobs - from) }, (_, n) => job(from + n)));
}

// Some have been tried, some are done.
async function taken(name, count) {
  const found = version === "9" ? await boss.fetch(name, count) : await boss.fetch(name, { batchSize: count });
  return found.map(({ id }) => id);
}
const fail = async (name, ids) => (version === "9" ? boss.fail(ids, { message: "down" }) : boss.fail(name, ids, { message: "down" }));
const complete = async (name, ids) => (version === "9" ? boss.complete(ids) : boss.complete(name, ids));
if (jobs > 100) await fail("send-email", await taken("send-email", 10));
for (let n = 0; n < 5; n++) await boss.send("guest", { tenantId: "t1", do: "ok", n });
await complete("guest", await taken("guest", 5));

const client = new pg.Client({ connectionString: url });
await client.connect();
await client.query(`
  CREATE TABLE queue_idempotency_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), key varchar(255) NOT NULL UNIQUE, queue_name varchar(255) NOT NULL, job_type varchar(255) NOT NULL,
    result jsonb DEFAULT '{}', processed_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL)`);
await client.query(
  `INSERT INTO queue_idempotency_keys (key, queue_name, job_type, result, processed_at, expires_at)
   SELECT 'nft-e0-s' || n, 'money-queue', 'nft-mint', jsonb_build_object('success', true, 'data', jsonb_build_object('assetId', 'a' || n)),
          now() - interval '30 days', now() + interval '335 days' FROM generate_series(1, $1) AS n`,
  [keys - 3],
);
// Where the service had no rule for a type, it hashed what its queue gave back, in that order of keys.
const whole = (data) => createHash("sha256").update("guest").update(JSON.stringify(data)).digest("hex");
const { rows } = await client.query(`SELECT '{"longer": 1.50, "do": "ok", "10": [1e21, -0.0], "9": "é"}'::jsonb AS data`);
for (const key of [whole(rows[0].data), whole({ do: "ok", as: { it: "is" }, b: 1 })]) {
  await client.query(
    `INSERT INTO queue_idempotency_keys (key, queue_name, job_type, result, expires_at) VALUES ($1, 'background-queue', 'guest', '{"done": 1}', now() + interval '1 day')`,
    [key],
  );
}
await client.query(
  `INSERT INTO queue_idempotency_keys (key, queue_name, job_type, expires_at) VALUES ('nft-e0-over', 'money-queue', 'nft-mint', now() - interval '1 minute')`,
);
await client.end();
console.log(JSON.stringify({ jobs, keys }));
// Its workers stop, without a last word: version 9 would wait ten seconds for itself.
process.exit(0);
