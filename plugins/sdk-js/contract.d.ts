// The contract of track 0.1 (wit/usher.wit) as componentize-qjs shows it. A function whose result is a `result` returns
// the value or throws an Error with the WIT error as its `payload`; `option` is null where there is nothing; u64 is a number, exact up to
// 2^53.

declare module 'usher:plugin/types@0.1.0' {
  export interface Job {
    id: string;
    jobType: string;
    tenant: string;
    /** The submitted bytes, identical on every attempt. */
    payload: string;
    attempt: number;
    maxAttempts: number;
  }
  /** Thrown by `process`. */
  export type Failure =
    | { tag: 'retry'; val: string }
    | { tag: 'retry-after'; val: { message: string; delayMs: number } }
    | { tag: 'permanent'; val: string };
  /** WIT's `rejection`. */
  export interface Rejected {
    code: string;
    message: string;
    status: number | null;
  }
  /** The `payload` of what the host's functions throw. */
  export type HostError = { tag: 'denied'; val: string } | { tag: 'invalid'; val: string } | { tag: 'rejected'; val: Rejected };
  export type Pairs = [string, string][];
}

declare module 'usher:plugin/context@0.1.0' {
  export function nowMs(): number;
  export function random(): number;
}

declare module 'usher:plugin/log@0.1.0' {
  import type { Pairs } from 'usher:plugin/types@0.1.0';
  export function write(level: 'debug' | 'info' | 'warn' | 'error', message: string, fields: Pairs): void;
}

declare module 'usher:plugin/progress@0.1.0' {
  export function report(percent: number, note: string): void;
}

declare module 'usher:plugin/jobs@0.1.0' {
  export interface NewJob {
    jobType: string;
    payload: string;
    key: string | null;
    delayMs: number;
  }
  export function enqueue(job: NewJob): string;
}

declare module 'usher:plugin/webhook@0.1.0' {
  export function publish(eventType: string, data: string): void;
}

declare module 'usher:plugin/stripe@0.1.0' {
  import type { Pairs } from 'usher:plugin/types@0.1.0';
  export interface Payment {
    amount: number;
    currency: string;
    customer: string | null;
    paymentMethod: string | null;
    confirm: boolean;
    destination: string | null;
    applicationFee: number | null;
    extra: Pairs;
  }
  export interface Refund {
    paymentIntent: string;
    amount: number | null;
    reason: string | null;
    extra: Pairs;
  }
  export interface Payout {
    account: string | null;
    amount: number;
    currency: string;
    extra: Pairs;
  }
  export interface Transfer {
    amount: number;
    currency: string;
    destination: string;
    transferGroup: string | null;
    extra: Pairs;
  }
  export interface Outcome {
    id: string;
    status: string;
    amount: number;
    currency: string;
    raw: string;
  }
  export function createPaymentIntent(payment: Payment): Outcome;
  export function getPaymentIntent(id: string): Outcome;
  export function capturePaymentIntent(id: string, amount: number | null): Outcome;
  export function cancelPaymentIntent(id: string, reason: string | null): Outcome;
  export function createRefund(refund: Refund): Outcome;
  export function createPayout(payout: Payout): Outcome;
  export function createTransfer(transfer: Transfer): Outcome;
}

declare module 'usher:plugin/solana@0.1.0' {
  import type { Pairs } from 'usher:plugin/types@0.1.0';
  export interface Nft {
    name: string;
    symbol: string;
    uri: string;
    recipient: string;
    collection: string | null;
    royaltyBps: number;
    attributes: Pairs;
  }
  export interface Minted {
    mint: string;
    tokenAccount: string;
    signature: string;
    slot: number;
  }
  export function mintNft(label: string, nft: Nft): Minted;
}

declare module 'usher:plugin/email@0.1.0' {
  export interface Attachment {
    name: string;
    contentType: string;
    content: Uint8Array;
  }
  export interface Message {
    profile: string;
    to: string[];
    subject: string;
    text: string;
    html: string | null;
    replyTo: string | null;
    attachments: Attachment[];
  }
  export interface Refusal {
    recipient: string;
    code: number;
    message: string;
  }
  export interface Sent {
    messageId: string;
    refused: Refusal[];
  }
  export function send(message: Message): Sent;
  export function sendTemplate(profile: string, to: string[], template: string, data: string): Sent;
}

declare module 'usher:plugin/sms@0.1.0' {
  export interface Message {
    profile: string;
    to: string;
    text: string;
  }
  export interface Sent {
    id: string;
    status: string;
  }
  export function send(message: Message): Sent;
}

declare module 'usher:plugin/push@0.1.0' {
  import type { Pairs } from 'usher:plugin/types@0.1.0';
  export type Target = { tag: 'token'; val: string } | { tag: 'topic'; val: string };
  export interface Notification {
    profile: string;
    target: Target;
    title: string;
    body: string;
    data: Pairs;
  }
  export interface Sent {
    id: string;
  }
  export function send(notification: Notification): Sent;
}

declare module 'usher:plugin/upstream@0.1.0' {
  import type { Pairs } from 'usher:plugin/types@0.1.0';
  export interface Request {
    upstream: string;
    method: 'get' | 'head' | 'post' | 'put' | 'patch' | 'delete';
    path: string;
    query: Pairs;
    headers: Pairs;
    body: Uint8Array | null;
  }
  export interface Response {
    status: number;
    headers: Pairs;
    body: Uint8Array;
  }
  export function call(request: Request): Response;
}
