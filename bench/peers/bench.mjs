// What both peers share: the command line, the pool, the clock, the WAL used, one line of JSON on stdout.
import { parseArgs } from "node:util";
import pg from "pg";

/** Runs the command named on the command line; `commands` maps a name to `(pool, jobs) => result`. */
export async function bench(commands) {
  // Also takes in unhandled rejections.
  process.on("uncaughtException", fail);
  try {
    const { command, url, jobs } = commandLine(Object.keys(commands));
    // Lazy: a peer that runs four loops opens four connections. 26 covers graphile's concurrency of 24 plus LISTEN.
    const pool = new pg.Pool({ connectionString: url, max: 26 });
    pool.on("error", fail).on("connect", (client) => client.on("error", fail));
    const result = await commands[command](pool, jobs);
    await pool.end();
    console.log(JSON.stringify(result));
  } catch (error) {
    fail(error);
  }
}

/** Payloads of jobs 0 to `jobs` - 1, at most `size` at a time. */
export function* payloadBatches(jobs, size) {
  for (let first = 0; first < jobs; first += size) {
    const length = Math.min(size, jobs - first);
    yield Array.from({ length }, (_, k) => ({ venueId: "v1", n: first + k }));
  }
}

/**
 * Times `work` over `jobs` jobs. `wal_bytes` counts the whole server, so nothing else may write meanwhile;
 * it is short by what is not yet written when synchronous_commit is off.
 */
export async function measure(pool, jobs, work) {
  const before = await pool.query("SELECT pg_current_wal_lsn() AS lsn");
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1000;
  const wal = await pool.query("SELECT pg_current_wal_lsn() - $1::pg_lsn AS bytes", [before.rows[0].lsn]);
  return {
    jobs,
    seconds: Number(seconds.toFixed(3)),
    rate: Math.round(jobs / seconds),
    wal_bytes: Number(wal.rows[0].bytes),
  };
}

/** Peak resident memory of this process, in MiB. */
export function peakRssMb() {
  return Math.round(process.resourceUsage().maxRSS / 1024);
}

/** Checked before a drain: with fewer ready jobs it would never end, with more it would measure other work. */
export function requireQueued({ ready, unfinished }, jobs) {
  if (ready !== jobs || unfinished !== jobs) {
    throw new Error(`expected ${jobs} jobs to drain, found ${ready} ready of ${unfinished} unfinished`);
  }
}

/**
 * Run before a drain, off the clock: on the statistics of the empty table pg-boss drained 20,000 jobs at 6,100/s,
 * on fresh ones at 16,500/s. Otherwise the rate would depend on whether autovacuum came by since the enqueue.
 */
export async function refreshStatistics(pool, table) {
  await pool.query(`ANALYZE ${table}`);
}

function commandLine(names) {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { url: { type: "string" }, jobs: { type: "string" } },
  });
  const [command] = positionals;
  const jobs = Number(values.jobs);
  const jobsFit = command === "prepare" || (Number.isSafeInteger(jobs) && jobs > 0);
  if (positionals.length !== 1 || !names.includes(command) || !values.url || !jobsFit) {
    throw new Error(`usage: ${names.join("|")} --url postgres://... --jobs N`);
  }
  return { command, url: values.url, jobs };
}

function fail(error) {
  // A refused connection is an AggregateError with an empty message.
  const [line] = String(error?.message || error?.code || error).split("\n");
  console.error(`error: ${line}`);
  process.exit(1);
}
