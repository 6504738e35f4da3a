// Confirms an order: the TypeScript one of three.
import { nowMs } from 'usher:plugin/context@0.1.0';
import { send } from 'usher:plugin/email@0.1.0';
import { call, type Response } from 'usher:plugin/upstream@0.1.0';
import { publish } from 'usher:plugin/webhook@0.1.0';
import { permanent, plugin, rejection, retry } from './sdk/usher.js';

interface Order {
  orderId: string;
  email: string;
  items: { sku: string; quantity: number }[];
  failOnce?: boolean;
  trouble?: string;
}

export const handler = plugin<Order>((order, job) => {
  if (order.items.length === 0) throw permanent(`order ${order.orderId} has no items`);
  const none = order.items.find((item) => item.quantity === 0);
  if (none) throw permanent(`order ${order.orderId}: none of ${none.sku} is ordered`);
  if (order.trouble) {
    const done = make(order.trouble);
    if (order.failOnce && job.attempt === 1) throw retry(JSON.stringify(done));
    return done;
  }

  const before = seen();
  const asked = ask('get', `/orders/${order.orderId}`);
  if (asked.status === 404) throw permanent(`the shop knows no order ${order.orderId}`);
  if (asked.status !== 200) throw permanent(`the shop answered ${asked.status}`);
  const { total, currency }: { total: number; currency: string } = JSON.parse(utf8(asked.body));
  const number = Math.floor(Math.random() * 2 ** 53).toString(16).padStart(16, '0');

  const mail = confirm(order, number);
  const told = ask('post', `/orders/${order.orderId}/confirmed`, JSON.stringify({ number }));
  const after = seen();
  publish('order.confirmed', JSON.stringify({ order: order.orderId, number }));
  const done = { order: order.orderId, total, currency, number, mail, told: told.status, before, after };
  if (order.failOnce && job.attempt === 1) throw retry(JSON.stringify(done));
  return done;
});

function confirm(order: Order, number: string): { sent: string } | { rejected: string } {
  try {
    const sent = send({
      profile: 'default',
      to: [order.email],
      subject: `Order ${order.orderId}`,
      text: `Order ${order.orderId} is confirmed. Your number is ${number}.`,
      html: null,
      replyTo: null,
      attachments: [],
    });
    return { sent: sent.messageId };
  } catch (error) {
    // The order stands, mail or not.
    const no = rejection(error);
    if (no) return { rejected: no.code };
    throw error;
  }
}

function ask(method: 'get' | 'post', path: string, body?: string): Response {
  const headers: [string, string][] = body === undefined ? [] : [['content-type', 'application/json']];
  return call({ upstream: 'rig', method, path, query: [], headers, body: body === undefined ? null : bytes(body) });
}

/** Clock and dice, as this language has them. */
function seen() {
  return { now: nowMs(), language: new Date().getTime(), random: Math.random() };
}

function make(trouble: string): unknown {
  switch (trouble) {
    case 'throw':
      throw new Error('the guest gave up');
    case 'loop':
      for (;;);
    case 'wait': {
      const began = Date.now();
      while (Date.now() < began + 60_000);
      return 'time moved';
    }
    case 'allocate': {
      const kept: Uint8Array[] = [];
      for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
    }
    case 'print':
      console.log('said by the guest');
      console.warn('complained by the guest');
      return null;
    case 'flood':
      for (let n = 0; n < 20_000; n++) console.log(`flood ${n} ${'x'.repeat(100)}`);
      return null;
    case 'probe': {
      // No API of this runtime reaches out; what a page or Node would have is not there.
      const world = globalThis as Record<string, unknown>;
      const there = (name: string) => world[name] !== undefined;
      return {
        environment: false,
        file: there('std') || there('require'),
        folder: there('os'),
        written: there('process'),
        connected: there('fetch') || there('XMLHttpRequest') || there('WebSocket'),
      };
    }
    case 'dice': {
      const drawn = new Uint8Array(8);
      crypto.getRandomValues(drawn);
      return { random: Math.random(), bytes: Array.from(drawn), uuid: crypto.randomUUID() };
    }
    default:
      throw permanent(`no such trouble: ${trouble}`);
  }
}

// This runtime has no TextEncoder; what is said here is ASCII.
function bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

function utf8(body: Uint8Array): string {
  return String.fromCharCode(...body);
}
