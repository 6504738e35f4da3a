// What this SDK adds to the language; componentize-qjs itself has no timers, no fetch, no console and no text encoders.

/** Lines of the host's log. */
declare const console: Record<'debug' | 'log' | 'info' | 'warn' | 'error', (...values: unknown[]) => void>;

/** Replayable, and so no secret. */
declare const crypto: {
  getRandomValues<T extends Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array | Uint32Array>(array: T): T;
  randomUUID(): string;
};
