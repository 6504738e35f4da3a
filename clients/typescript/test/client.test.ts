/** Against a real host: USHER_URL, and USHER_TOKEN and USHER_ADMIN for two callers. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient, waitForJob } from "../src/index.js";

function env(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: the tests of clients are run by cargo xtask test`);
  return value;
}

const baseUrl = env("USHER_URL");
const client = createClient({ baseUrl, token: env("USHER_TOKEN") });
const job = (event: string) => ({ type: "analytics-track", payload: { event } });

test("a job is submitted, and waited for", async () => {
  const { data, error, response } = await client.POST("/jobs", { body: { ...job("ts.wait"), priority: "high" } });
  assert.equal(error, undefined);
  assert.equal(response.status, 202);
  assert.equal(response.headers.get("location"), `/jobs/${data?.id}`);
  const ended = await waitForJob(client, data!.id);
  assert.equal(ended.state, "completed");
  assert.deepEqual(ended.payload, { event: "ts.wait" });
});

test("a key makes a repeat the same job", async () => {
  const params = { header: { "Idempotency-Key": `ts-${crypto.randomUUID()}` } };
  const first = await client.POST("/jobs", { params, body: job("ts.key") });
  const again = await client.POST("/jobs", { params, body: job("ts.key") });
  assert.deepEqual([first.response.status, again.response.status], [202, 200]);
  assert.equal(again.data?.id, first.data?.id);
});

test("a list goes on by its cursor", async () => {
  const ids: string[] = [];
  for (const n of [1, 2, 3]) {
    const { data } = await client.POST("/jobs", { body: job(`ts.page.${n}`) });
    ids.unshift(data!.id);
  }
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const query = { type: "analytics-track", limit: 2, ...(cursor && { cursor }) };
    const { data, error } = await client.GET("/jobs", { params: { query } });
    assert.equal(error, undefined);
    seen.push(...data!.items.map((one) => one.id));
    cursor = data!.nextCursor ?? undefined;
  } while (cursor !== undefined && seen.length < 100);
  assert.deepEqual(seen.filter((id) => ids.includes(id)), ids, "newest first, each once");
});

test("a refusal is a problem with a type", async () => {
  const { error, response } = await client.POST("/jobs", { body: { type: "ts-no-such-type", payload: {} } });
  assert.equal(response.status, 422);
  assert.equal(error?.type, "urn:usher:problem:unknown-job-type");
  const invalid = await client.POST("/jobs", { body: { type: "analytics-track", payload: {} } });
  assert.equal(invalid.error?.type, "urn:usher:problem:invalid-payload");
  assert.ok(invalid.error?.errors?.length);
  const stranger = await createClient({ baseUrl }).GET("/jobs");
  assert.equal(stranger.response.status, 401);
  assert.equal(stranger.error?.type, "urn:usher:problem:unauthenticated");
});

test("a service signs its requests", async (t) => {
  const made = await fetch(`${baseUrl}/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${env("USHER_ADMIN")}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "ts", tenants: ["t1"], jobTypes: ["analytics-track"] }),
  });
  if (made.status === 404) return t.skip("this host has no keys of services");
  assert.equal(made.status, 201, await made.clone().text());
  const key = (await made.json()) as { id: string; secret: string };
  const service = createClient({ baseUrl, key });
  const { data, error } = await service.POST("/jobs", {
    params: { header: { "Idempotency-Key": `ts-${crypto.randomUUID()}` } },
    body: job("ts.signed"),
  });
  assert.equal(error, undefined);
  assert.equal((await waitForJob(service, data!.id)).submittedBy, `key/${key.id}`);
  const listed = await service.GET("/jobs", { params: { query: { limit: 1, type: "analytics-track" } } });
  assert.equal(listed.error, undefined, "with a query");
  const forged = await createClient({ baseUrl, key: { id: key.id, secret: "another" } }).GET("/jobs");
  assert.equal(forged.response.status, 401);
});
