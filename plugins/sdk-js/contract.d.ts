// The contract as componentize-qjs shows it. Made of wit/usher.wit by `usher plugin reference --types`; a test fails when it is stale.
//
// A function whose result is a `result` returns the value or throws an Error with the WIT error as its `payload`; an `option` is null
// where there is nothing; a u64 is a number, exact up to 2^53.

/**
 * What all interfaces share. Closed for all of 0.1.x: a new field or case would break shipped components, so it is 0.2. Growth
 * inside a track is new functions and new interfaces only.
 */
declare module 'usher:plugin/types@0.1.0' {
  /** One attempt of a job. */
  export interface Job {
    /** A uuid in its 36-character form, the same on every attempt. */
    id: string;
    /** One of the types that the manifest names. */
    jobType: string;
    /** Whose job it is. */
    tenant: string;
    /** The submitted bytes, identical on every attempt: JSON, at most 256 KiB. */
    payload: string;
    /** Which attempt this is, a count from 1. It is not replayed: what is asked of the host must not depend on it. */
    attempt: number;
    /** The count of attempts after which the host gives up. */
    maxAttempts: number;
  }
  /** A postponement by the guest. */
  export interface Later {
    /** Why, for the job's errors. */
    message: string;
    /** Milliseconds from now; at most 24 hours count. */
    delayMs: number;
  }
  /** The guest's own verdict on its job. */
  export type Failure =
    /** Again after the queue's delay, while attempts are left. The text is why. */
    | { tag: 'retry'; val: string }
    /** Again after a delay of the guest's, while attempts are left. */
    | { tag: 'retry-after'; val: Later }
    /** Never again: the job is dead. The text is why. */
    | { tag: 'permanent'; val: string };
  /** A provider's refusal: it said no and did nothing. */
  export interface Rejected {
    /** The provider's own word for it, an open set: `card_declined`, `550`. */
    code: string;
    /** The provider's words, for people. */
    message: string;
    /** The protocol's status code where it has one (HTTP, SMTP). */
    status: number | null;
  }
  /**
   * Final answers only: asking again gives the same. A provider that is down, limited or in doubt ends the attempt inside the
   * host; the guest never sees it.
   */
  export type HostError =
    /** The manifest or the operator's policy does not grant it, or a limit of the job is reached. Nothing was sent. */
    | { tag: 'denied'; val: string }
    /** The request makes no sense. Nothing was sent. */
    | { tag: 'invalid'; val: string }
    /** The provider said no and did nothing. */
    | { tag: 'rejected'; val: Rejected };
  /** Names with values, in order; a name may be there twice. */
  export type Pairs = [string, string][];
}

/** Time and randomness. Effect class: none; replayed, so that an attempt that comes back to the same place reads the same values. */
declare module 'usher:plugin/context@0.1.0' {
  /**
   * Milliseconds since the Unix epoch. Stands still between effects: before the first one it is the start of the attempt
   * that made it, afterwards the recorded end of the last effect.
   */
  export function nowMs(): number;
  /** 64 bits, the same for the same draw of every attempt. Whoever knows the job's id can reckon them: not for keys or tokens. */
  export function random(): number;
}

/** Lines for the operator's log. Effect class: none; not journaled, so a repeated attempt writes its lines again. */
declare module 'usher:plugin/log@0.1.0' {
  import type { Pairs } from 'usher:plugin/types@0.1.0';
  /** How much it matters. */
  export type Level =
    /** For whoever develops the plugin. */
    | 'debug'
    /** Worth knowing. */
    | 'info'
    /** Something is wrong, and the job goes on. */
    | 'warn'
    /** The last of these is quoted in the job's error when the attempt ends in a trap. */
    | 'error';
  /**
   * One line: a constant message, and what varies as fields (at most 32). An attempt may write 256 lines and 64 KiB, then one
   * line says "truncated" and the rest is dropped; a line is cut at 4,096 characters. Nothing secret or personal.
   */
  export function write(level: Level, message: string, fields: Pairs): void;
}

/** How far an attempt is. Effect class: none; lossy, written while running, not journaled. */
declare module 'usher:plugin/progress@0.1.0' {
  /** `percent` of 100, with a word on what is being done. Counts as a log line. */
  export function report(percent: number, note: string): void;
}

/** Child jobs. Effect class: committed with the job's success, exactly once; not journaled, and no effect that counts. */
declare module 'usher:plugin/jobs@0.1.0' {
  /** A job of the same tenant. */
  export interface NewJob {
    /** One that `grants.jobs` names. */
    jobType: string;
    /** JSON, at most 256 KiB; checked by the schema of its type. */
    payload: string;
    /** An idempotency key of 1 to 255 bytes in place of the one that its type derives from the payload. */
    key: string | null;
    /** Milliseconds after the parent's success; at most 365 days. */
    delayMs: number;
  }
  /**
   * Checks type and payload now; the child exists once this job has succeeded, and only then. At most 100 an attempt. Returns
   * its id. Errors: `denied` for a type that is not granted or one too many, `invalid` for what its schema does not take.
   */
  export function enqueue(job: NewJob): string;
}

/**
 * Events for the tenant's webhook endpoints. Effect class: committed with the job's success, exactly once; delivered at least
 * once, signed, always under one id.
 */
declare module 'usher:plugin/webhook@0.1.0' {
  /**
   * `event-type` is one that `grants.webhook` names, `data` JSON of at most 64 KiB; at most 20 an attempt. Errors: `denied` for a
   * type that is not granted or one too many, `invalid` for what is no JSON.
   */
  export function publish(eventType: string, data: string): void;
}

/**
 * Stripe, through the account that the host chose by the job's tenant and venue. Amounts are counted as Stripe counts
 * (docs.stripe.com/currencies): in the currency's smallest unit, but for ISK and UGX, which have two decimals there. Currencies are
 * ISO 4217 in lower case. Effect class: `asked` for what moves money (written down before it is sent; if its answer
 * is lost, the host looks at Stripe before it sends it again under the same key), `read` for `get-payment-intent`. Errors of all:
 * `denied` where the function is not granted or no account serves the tenant, `invalid` for a request that Stripe could not take,
 * `rejected` with Stripe's decline code, or its error code.
 */
declare module 'usher:plugin/stripe@0.1.0' {
  import type { Pairs } from 'usher:plugin/types@0.1.0';
  /** A payment to be made. */
  export interface Payment {
    /** In the currency's smallest unit: more than 0, at most 99,999,999 (IDR: 999,999,999,999). */
    amount: number;
    /** ISO 4217, in lower case. */
    currency: string;
    /** Whose payment method it is: `cus_…` */
    customer: string | null;
    /** What is charged: `pm_…` */
    paymentMethod: string | null;
    /** Charge at once. */
    confirm: boolean;
    /** A connected account that is paid, if the operator's profile reaches it. */
    destination: string | null;
    /** What of it stays, in the currency's smallest unit; only with `destination`. */
    applicationFee: number | null;
    /** Further form fields, allow-listed by the host, and `metadata[…]`. */
    extra: Pairs;
  }
  /** Money to be given back. */
  export interface Refund {
    /** The payment that is given back: `pi_…` */
    paymentIntent: string;
    /** In the currency's smallest unit. Absent: all that is left of it. */
    amount: number | null;
    /** `duplicate`, `fraudulent` or `requested_by_customer`. */
    reason: string | null;
    /** As of a payment. */
    extra: Pairs;
  }
  /** Money to be paid out from the balance of the profile's account, or of a connected one. */
  export interface Payout {
    /** `acct_…`; absent: the profile's own. */
    account: string | null;
    /** In the currency's smallest unit: more than 0. */
    amount: number;
    /** ISO 4217, in lower case. */
    currency: string;
    /** As of a payment. */
    extra: Pairs;
  }
  /** Money to be moved to a connected account. */
  export interface Transfer {
    /** In the currency's smallest unit: more than 0. */
    amount: number;
    /** ISO 4217, in lower case. */
    currency: string;
    /** `acct_…`, one that the operator's profile names. */
    destination: string;
    /** Stripe's name for what belongs together, such as the transfers of one order. */
    transferGroup: string | null;
    /** As of a payment. */
    extra: Pairs;
  }
  /** What Stripe made of it. */
  export interface Outcome {
    /** Stripe's id of the object: `pi_…`, `re_…`, `po_…`, `tr_…`. */
    id: string;
    /** Stripe's own word: `succeeded`, `requires_action`, `pending`. */
    status: string;
    /** In the currency's smallest unit: that of the object, as Stripe says it. */
    amount: number;
    /** ISO 4217, in lower case. */
    currency: string;
    /** The object as Stripe showed it, without client secrets; JSON. */
    raw: string;
  }
  /** Makes a payment intent, and confirms it if that is asked for. */
  export function createPaymentIntent(payment: Payment): Outcome;
  /** A payment intent as it is now: read once, and the same on every later attempt. */
  export function getPaymentIntent(id: string): Outcome;
  /** Takes what was authorised: `amount`, in the currency's smallest unit. Absent: all of it. */
  export function capturePaymentIntent(id: string, amount: number | null): Outcome;
  /** Gives up a payment that was not taken. `reason`: `duplicate`, `fraudulent`, `requested_by_customer` or `abandoned`. */
  export function cancelPaymentIntent(id: string, reason: string | null): Outcome;
  /** Gives money back. */
  export function createRefund(refund: Refund): Outcome;
  /** Pays out to a bank account. */
  export function createPayout(payout: Payout): Outcome;
  /** Moves money to a connected account. */
  export function createTransfer(transfer: Transfer): Outcome;
}

/**
 * NFTs on Solana. No raw instructions: a host that signs what a guest composes is a drained wallet. The wallet is the host's choice, by the
 * job's tenant, and so is the standard: Token-2022, or SPL Token with Metaplex accounts. Addresses and signatures are base58.
 */
declare module 'usher:plugin/solana@0.1.0' {
  import type { Pairs } from 'usher:plugin/types@0.1.0';
  /** A token to be minted: one, for ever. */
  export interface Nft {
    /** 1 to 32 bytes. */
    name: string;
    /** At most 10 bytes. */
    symbol: string;
    /** Of the metadata file, which is there before the mint: 1 to 200 bytes. */
    uri: string;
    /** The wallet that gets it. An account of a program is `invalid`. */
    recipient: string;
    /** The mint of the collection. One that the operator's profile does not name is `denied`. */
    collection: string | null;
    /** Hundredths of a percent of each sale: 0 to 10000. */
    royaltyBps: number;
    /**
     * Kept in the mint itself (Token-2022), where all must fit into one transaction; `invalid` where Metaplex is used, whose
     * attributes are in the metadata file.
     */
    attributes: Pairs;
  }
  /** A token that is there. */
  export interface Minted {
    /** Address of the mint. */
    mint: string;
    /** Address of the recipient's account that holds it. */
    tokenAccount: string;
    /** Of the transaction. */
    signature: string;
    /** The number of the slot in which it landed. */
    slot: number;
  }
  /**
   * One token that nobody can make a second of. Its class is `asked`: sent again only while the same signed bytes may land,
   * and signed anew only when none before can.
   * `label` (1 to 64 bytes) names the mint inside the job; the same label always means the same mint address, so that another
   * NFT under it is `rejected` (`label-taken`). Also `rejected`: what the chain refuses for good, by its own word (such as
   * `InstructionError`), `collection-not-found`, and `lamports-per-job` when the job would spend more lamports than it may.
   * `denied` where the function or the collection is not granted or no wallet serves the tenant; `invalid` for what is no NFT,
   * as its fields say above.
   */
  export function mintNft(label: string, nft: Nft): Minted;
}

/**
 * Mail, through a server of the operator's. Effect class `resend` or `once`: sent again under the same Message-ID when its answer was lost, or left
 * to a person, by the profile's `on_doubt`.
 */
declare module 'usher:plugin/email@0.1.0' {
  /** A file beside the text. */
  export interface Attachment {
    /** 1 to 200 characters; no control character, quote, slash or backslash, nothing that turns the direction of writing. */
    name: string;
    /** `type/subtype` with parameters, if any, in ASCII without quotes; not `multipart/…` or `message/…`. */
    contentType: string;
    /** At most 20 a mail; all of them together as many bytes as the profile takes (1 MiB by default). */
    content: Uint8Array;
  }
  /** A mail whose text the guest writes. */
  export interface Message {
    /** The operator's name for a server and a sender; one that `grants.email` names. */
    profile: string;
    /** 1 to 50, `name@example.com` or `Name <name@example.com>`; they see each other. */
    to: string[];
    /** 1 to 250 characters, one line. */
    subject: string;
    /** With `html` at most 256 KiB. */
    text: string;
    /** The same for programs that show HTML. */
    html: string | null;
    /** An address as in `to`. */
    replyTo: string | null;
    /** Files beside the text; an empty list for none. */
    attachments: Attachment[];
  }
  /** One that the server refused for good while it took the mail for others. */
  export interface Refusal {
    /** As it stands in `to`. */
    recipient: string;
    /** SMTP's reply code: 500 to 599. */
    code: number;
    /** The server's words, with addresses shortened. */
    message: string;
  }
  /** A mail that the server has taken, for at least one recipient. */
  export interface Sent {
    /** With its angle brackets; the same if it had to be sent again. */
    messageId: string;
    /** Who does not get it. */
    refused: Refusal[];
  }
  /** Returns once the server has taken it. `denied` for a profile that is not granted; `rejected` if the server took it for nobody; `code` is SMTP's. `invalid` for what is no mail, line breaks in headers included. */
  export function send(message: Message): Sent;
  /** A template that the host owns, filled from a JSON object. Errors as for `send`, and `invalid` for a field that is missing. */
  export function sendTemplate(profile: string, to: string[], template: string, data: string): Sent;
}

/**
 * Text messages, through a provider of the operator's; account and sender are the host's choice. Effect class `resend` or `once`:
 * sent again when its answer was lost, which may be a second message, or left to a person, by the profile's `on_doubt`.
 */
declare module 'usher:plugin/sms@0.1.0' {
  /** One text to one number. */
  export interface Message {
    /** The operator's name for an account and a sender; one that `grants.sms` names. */
    profile: string;
    /** E.164: `+` and 8 to 15 digits, the country's code first, nothing else. */
    to: string;
    /**
     * 1 to 1600 characters; of control characters, line breaks and tabs only. Beyond 160 (70 where one is not of GSM-7) it is
     * sent, and charged, as several.
     */
    text: string;
  }
  /** A message that the provider has taken. It is not delivered yet. */
  export interface Sent {
    /** The provider's. */
    id: string;
    /** The provider's word at that moment, such as `queued`. */
    status: string;
  }
  /**
   * Returns once the provider has taken it. Errors: `denied` for a profile that is not granted, `invalid` for what is no number
   * or no text, `rejected` if the provider refuses either; `code` is its number for why, such as `21610`.
   */
  export function send(message: Message): Sent;
}

/**
 * Notifications for apps, through a provider of the operator's; project and credential are the host's choice. Effect class
 * `resend` or `once`: sent again when its answer was lost, under a name by which a device shows the last copy only, or left to a
 * person, by the profile's `on_doubt`.
 */
declare module 'usher:plugin/push@0.1.0' {
  import type { Pairs } from 'usher:plugin/types@0.1.0';
  /** Whom a notification reaches. */
  export type Target =
    /** One installation of an app, by its registration token: 1 to 4096 characters of visible ASCII. */
    | { tag: 'token'; val: string }
    /** All that have subscribed: 1 to 900 of a-z, A-Z, 0-9, `-`, `_`, `.`, `~` and `%`. */
    | { tag: 'topic'; val: string };
  /** What an app shows. */
  export interface Notification {
    /** The operator's name for a project at the provider; one that `grants.push` names. */
    profile: string;
    /** Who gets it. */
    target: Target;
    /** Not empty. */
    title: string;
    /** Not empty. */
    body: string;
    /**
     * For the app. Each key once; the empty one, `from`, `message_type` and what begins with `google` or `gcm` are `invalid`.
     * Title, body and data have at most 4096 bytes together, 2048 to a topic.
     */
    data: Pairs;
  }
  /** A notification that the provider has taken. It is not delivered yet. */
  export interface Sent {
    /** The provider's. */
    id: string;
  }
  /**
   * Returns once the provider has taken it. Errors: `denied` for a profile that is not granted, `invalid` for a target or a
   * content as above says, `rejected` with the provider's word if it refuses: `UNREGISTERED` is a token to be forgotten.
   */
  export function send(notification: Notification): Sent;
}

/**
 * HTTP services by configured name; the host owns base URL, Host, credential and signature. Effect class: `read` for GET and HEAD
 * (repeated at will until answered, then always the same); a write is `idempotent` (repeated under the same `Idempotency-Key`),
 * `resend` or `once` by what the operator says of the upstream.
 */
declare module 'usher:plugin/upstream@0.1.0' {
  import type { Pairs } from 'usher:plugin/types@0.1.0';
  /** A method of HTTP. */
  export type Method =
    | 'get'
    | 'head'
    | 'post'
    | 'put'
    | 'patch'
    | 'delete';
  /** What is asked of an upstream. */
  export interface Request {
    /** One that `grants.upstream` names. */
    upstream: string;
    /** One that the operator allows for this upstream. */
    method: Method;
    /** Begins with `/`, is appended to the base URL, has at most 2,000 bytes, and leads out of no folder. */
    path: string;
    /** Not encoded; at most 100. */
    query: Pairs;
    /** At most 100; those that the host makes are `invalid`. */
    headers: Pairs;
    /** At most 1 MiB. */
    body: Uint8Array | null;
  }
  /** What it answered. */
  export interface Response {
    /** HTTP's status code: 200 to 499, but never 408, 425 or 429: those, like 5xx and silence, are the host's business. */
    status: number;
    /** The first 64. */
    headers: Pairs;
    /**
     * At most as long as the operator's `max_response` (256 KiB by default). That of a write which is longer is empty, and the header
     * `usher-body-truncated` says so: it has happened.
     */
    body: Uint8Array;
  }
  /**
   * Sends it. `denied` for an upstream, method or path that is not granted; `invalid` for what is no request; `rejected`
   * (`response-too-large`) for a read whose answer is too long.
   */
  export function call(request: Request): Response;
}
