// What componentize-qjs offers beside the language itself, and this SDK adds. No timers, no fetch, no text encoders.

/** Lines of the host's log: `log` as information, `error` as warnings. */
declare const console: {
  log(...values: unknown[]): void;
  error(...values: unknown[]): void;
};

/** From `replay.ts`. */
declare const crypto: {
  getRandomValues<T extends Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array | Uint32Array>(array: T): T;
  randomUUID(): string;
};
