/** A client of Usher's HTTP API: its types are generated (`schema.ts`), `openapi-fetch` sends. */
import createFetchClient, { type Client as FetchClient } from "openapi-fetch";

import type { components, paths } from "./schema.js";
import { sign, type ServiceKey } from "./signature.js";

export { contentDigest, sign, signatureBase, type Covered, type ServiceKey, type SignatureParams } from "./signature.js";
export type { components, operations, paths } from "./schema.js";

export type Client = FetchClient<paths>;
export type Job = components["schemas"]["Job"];
/** What `error` holds of an answer that is none of 2xx (RFC 9457). Programs read `type`. */
export type Problem = components["schemas"]["Problem"];

export interface Options {
  /** Where a host listens, such as `https://usher.example.com`. */
  baseUrl: string;
  /** A JWT, sent as it is. */
  token?: string;
  /** The key of a service, which signs each request. Not beside a token: a host would refuse to guess. */
  key?: ServiceKey;
  /** Of which tenant a service speaks, where its key is for several. */
  tenant?: string;
  fetch?: (request: Request) => Promise<Response>;
}

export function createClient({ baseUrl, token, key, tenant, fetch }: Options): Client {
  if (token !== undefined && key !== undefined) throw new Error("a token or a key, not both");
  const client = createFetchClient<paths>({ baseUrl, ...(fetch && { fetch }) });
  client.use({
    async onRequest({ request }) {
      if (tenant !== undefined) request.headers.set("x-tenant-id", tenant);
      if (token !== undefined) request.headers.set("authorization", `Bearer ${token}`);
      if (key !== undefined) await sign(request, key);
      return request;
    },
  });
  return client;
}

const OVER = new Set(["completed", "cancelled", "dead"]);

/** The job when it has ended. Throws a `Problem`, or an `Error` when it has not ended in time. */
export async function waitForJob(client: Client, id: string, { timeoutMs = 60_000 } = {}): Promise<Job> {
  const until = Date.now() + timeoutMs;
  for (;;) {
    const left = Math.max(0, until - Date.now());
    const seconds = Math.min(30, Math.ceil(left / 1_000));
    const { data, error } = await client.GET("/jobs/{id}", {
      params: { path: { id } },
      // A host that waits answers at the end of the job; the pause below is for all others.
      headers: { prefer: `wait=${seconds}` },
    });
    if (error) throw error;
    if (OVER.has(data.state)) return data;
    if (left === 0) throw new Error(`the job ${id} is ${data.state} after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, Math.min(250, left)));
  }
}
