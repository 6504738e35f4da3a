// What a plugin throws, and what it catches.
import type { Failure, Rejected } from 'usher:plugin/types@0.1.0';

/** It would fail again: the job ends. */
export const permanent = (message: string): Failure => ({ tag: 'permanent', val: message });

/** Another attempt, after the queue's delay. */
export const retry = (message: string): Failure => ({ tag: 'retry', val: message });

/** Another attempt, no sooner than this. */
export const retryAfter = (message: string, delayMs: number): Failure => ({
  tag: 'retry-after',
  val: { message, delayMs },
});

/** The provider's no, if a call threw one; `null` for all else. */
export function rejection(error: unknown): Rejected | null {
  const thrown = error as { tag?: string; val?: Rejected } | null;
  return thrown?.tag === 'rejected' && thrown.val ? thrown.val : null;
}
