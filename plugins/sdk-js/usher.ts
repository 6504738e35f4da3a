// What a plugin is made with. Importing it brings `replay.ts` and `console.ts` along.
import './replay.js';
import './console.js';
import type { Failure, HostError, Job, Rejected } from 'usher:plugin/types@0.1.0';

/** A verdict, to be thrown. */
export class Verdict {
  constructor(readonly failure: Failure) {}
}

/** It would fail again: the job ends. */
export const permanent = (message: string): Verdict => new Verdict({ tag: 'permanent', val: message });

/** Another attempt, after the queue's delay. */
export const retry = (message: string): Verdict => new Verdict({ tag: 'retry', val: message });

/** Another attempt, no sooner than this; at most 24 h. */
export const retryAfter = (message: string, delayMs: number): Verdict =>
  new Verdict({ tag: 'retry-after', val: { message, delayMs } });

/** What a function of the host said in place of an answer. */
export function refusal(error: unknown): HostError | null {
  const said = error instanceof Error ? (error as { payload?: HostError }).payload : undefined;
  return said?.tag ? said : null;
}

/** The provider's no, if it was one. */
export function rejection(error: unknown): Rejected | null {
  const said = refusal(error);
  return said?.tag === 'rejected' ? said.val : null;
}

/**
 * The plugin's `handler`. The payload is read as JSON, and what `process` returns becomes the job's result.
 *
 * A refusal of the host that is not caught is a permanent failure: the same code with the same input would meet it again. Any other
 * exception ends the attempt as a trap, with its message.
 */
export const plugin = <P>(process: (payload: P, job: Job) => unknown) => ({
  process(job: Job): string {
    try {
      return JSON.stringify(process(JSON.parse(job.payload), job) ?? null);
    } catch (error) {
      if (error instanceof Verdict) throw error.failure;
      const said = refusal(error);
      if (said) throw permanent(said.tag === 'rejected' ? `${said.val.code}: ${said.val.message}` : said.val).failure;
      console.error(error instanceof Error ? `${error} ${error.stack ?? ''}` : error);
      throw error;
    }
  },
});
