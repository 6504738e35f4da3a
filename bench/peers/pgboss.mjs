// pg-boss: node pgboss.mjs prepare|enqueue|drain --url postgres://... --jobs N
import PgBoss from "pg-boss";
import { bench, measure, payloadBatches, peakRssMb, refreshStatistics, requireQueued } from "./bench.mjs";

const QUEUE = "noop";
const INSERT_BATCH = 5_000;
const FETCH_BATCH = 2000;
const LOOPS = 4;

/** A boss without maintenance and cron, which a benchmark of seconds would only see as noise. */
function bossOver(pool) {
  // fetch() swallows every database error and returns no jobs, so the first one is kept here for the caller.
  const errors = [];
  const executeSql = async (text, values) => {
    try {
      return await pool.query(text, values);
    } catch (error) {
      errors.push(error);
      throw error;
    }
  };
  return { boss: new PgBoss({ db: { executeSql }, supervise: false, schedule: false }), errors };
}

async function prepare(pool) {
  const { boss } = bossOver(pool);
  await boss.start();
  await boss.createQueue(QUEUE);
  await boss.stop();
  return { ok: true };
}

async function enqueue(pool, jobs) {
  const { boss } = bossOver(pool);
  await boss.start();
  // insert() into a queue that was never made takes no jobs and says nothing.
  if ((await boss.getQueue(QUEUE)) === null) throw new Error(`no queue ${QUEUE}: run prepare first`);
  const result = await measure(pool, jobs, async () => {
    for (const batch of payloadBatches(jobs, INSERT_BATCH)) {
      await boss.insert(batch.map((data) => ({ name: QUEUE, data })));
    }
  });
  await boss.stop();
  return result;
}

async function drain(pool, jobs) {
  const { boss, errors } = bossOver(pool);
  const queued = {
    ready: await boss.getQueueSize(QUEUE, { before: "active" }),
    unfinished: await boss.getQueueSize(QUEUE, { before: "completed" }),
  };
  requireQueued(queued, jobs);
  await refreshStatistics(pool, "pgboss.job");

  const result = await measure(pool, jobs, async () => {
    await boss.start();
    const completed = await Promise.all(Array.from({ length: LOOPS }, () => work(boss)));
    const total = completed.reduce((sum, n) => sum + n, 0);
    if (errors.length > 0) throw errors[0];
    if (total !== jobs) throw new Error(`completed ${total} of ${jobs} jobs`);
  });
  await boss.stop();
  return { ...result, rss_mb: peakRssMb() };
}

/** Fetches and completes until nothing is left to fetch; returns how many jobs became completed. */
async function work(boss) {
  let completed = 0;
  for (;;) {
    const fetched = await boss.fetch(QUEUE, { batchSize: FETCH_BATCH });
    if (fetched.length === 0) return completed;
    const { affected } = await boss.complete(QUEUE, fetched.map(({ id }) => id));
    completed += affected;
  }
}

await bench({ prepare, enqueue, drain });
