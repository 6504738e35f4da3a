// Randomness that an attempt draws again as it was.
//
// The runtime's own Math.random is seeded while the component is built: each instance would draw the same numbers. Its clock
// needs no help: Date goes through WASI, where time is that of the journal.
import { random } from 'usher:plugin/context@0.1.0';

/** 32 random bits. A u64 loses its low bits on the way into a number; the high ones are exact. */
const word = (): number => Math.floor(random() / 2 ** 32) >>> 0;

Math.random = () => (word() * 2 ** 21 + (word() >>> 11)) / 2 ** 53;

type Integers = Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array | Uint32Array;

const crypto = {
  /** Replayable, and so no secret: not for keys or tokens. */
  getRandomValues<T extends Integers>(array: T): T {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < bytes.length; at += 4) {
      const drawn = word();
      for (let n = 0; n < 4 && at + n < bytes.length; n++) bytes[at + n] = drawn >>> (8 * n);
    }
    return array;
  },
  randomUUID(): string {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  },
};
Object.defineProperty(globalThis, 'crypto', { value: crypto, configurable: true });
