// The runtime has no console; this one writes to the host's log.
import { write } from 'usher:plugin/log@0.1.0';

const text = (value: unknown): string => {
  if (typeof value === 'string') return value;
  if (value instanceof Error) return `${value}`;
  return JSON.stringify(value) ?? String(value);
};

const line =
  (level: 'debug' | 'info' | 'warn' | 'error') =>
  (...values: unknown[]): void =>
    write(level, values.map(text).join(' '), []);

Object.defineProperty(globalThis, 'console', {
  value: { debug: line('debug'), log: line('info'), info: line('info'), warn: line('warn'), error: line('error') },
  configurable: true,
});
