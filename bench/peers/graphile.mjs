// graphile-worker: node graphile.mjs prepare|enqueue|drain --url postgres://... --jobs N
import { setTimeout as sleep } from "node:timers/promises";
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";
import { bench, measure, payloadBatches, peakRssMb, refreshStatistics, requireQueued } from "./bench.mjs";

const TASK = "noop";
const BATCH = 10_000;

const logger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error(message);
});

async function prepare(pgPool) {
  await runMigrations({ pgPool, logger });
  return { ok: true };
}

async function enqueue(pgPool, jobs) {
  const utils = await makeWorkerUtils({ pgPool, logger });
  const result = await measure(pgPool, jobs, async () => {
    for (const batch of payloadBatches(jobs, BATCH)) {
      await utils.addJobs(batch.map((payload) => ({ identifier: TASK, payload })));
    }
  });
  await utils.release();
  return result;
}

async function drain(pgPool, jobs) {
  const queued = await pgPool.query(
    `SELECT count(*) FILTER (WHERE is_available)::int AS ready, count(*)::int AS unfinished
     FROM graphile_worker._private_jobs`,
  );
  requireQueued(queued.rows[0], jobs);
  await refreshStatistics(pgPool, "graphile_worker._private_jobs");

  let done = 0;
  let signalLast;
  const lastRan = new Promise((resolve) => (signalLast = resolve));
  const noop = () => {
    if (++done === jobs) signalLast();
  };

  let runner;
  const result = await measure(pgPool, jobs, async () => {
    runner = await run({
      pgPool,
      logger,
      concurrency: 24,
      noHandleSignals: true,
      taskList: { [TASK]: noop },
      preset: { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
    });
    const stopped = runner.promise.then(() => {
      throw new Error(`the runner stopped after ${done} of ${jobs} jobs`);
    });
    await Promise.race([lastRan.then(() => untilEmpty(pgPool)), stopped]);
  });
  await runner.stop();
  return { ...result, rss_mb: peakRssMb() };
}

// A completed job is deleted, and that lags behind the task by a batch.
async function untilEmpty(pgPool) {
  for (;;) {
    const { rows } = await pgPool.query("SELECT EXISTS (SELECT FROM graphile_worker._private_jobs) AS some");
    if (!rows[0].some) return;
    await sleep(1);
  }
}

await bench({ prepare, enqueue, drain });
