import assert from "node:assert/strict";
import { test } from "node:test";

import { contentDigest, hmac, sign, signatureBase } from "../src/signature.js";

const SECRET = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

test("RFC 9421, B.2.5: signing a request using hmac-sha256", async () => {
  const covered = [
    ["date", "Tue, 20 Apr 2021 02:07:55 GMT"],
    ["@authority", "example.com"],
    ["content-type", "application/json"],
  ] as const;
  const { base, input } = signatureBase(covered, { created: 1618884473, keyid: "test-shared-secret" });
  assert.equal(input, '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"');
  const secret = Uint8Array.from(atob(SECRET), (c) => c.charCodeAt(0));
  assert.equal(await hmac(secret, base), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
});

test("a digest is RFC 9530's", async () => {
  // Appendix D of it.
  const body = new TextEncoder().encode('{"hello": "world"}\n');
  assert.equal(await contentDigest(body.buffer), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
});

test("all that decides what is done is covered, and the same request is signed alike", async () => {
  const make = () =>
    new Request("https://Usher.example:443/jobs?limit=1", {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": "k", "x-tenant-id": "t1" },
      body: "{}",
    });
  const [one, two] = [make(), make()];
  for (const request of [one, two]) await sign(request, { id: "key", secret: "secret" }, { created: 1, nonce: "n" });
  // The same as the other client's, over the same request.
  assert.equal(one.headers.get("signature"), "usher=:OqtNU0puhyRwVgD7B5sYlHvxRqOhmnEPOd3LBLhnA6M=:");
  assert.equal(one.headers.get("signature"), two.headers.get("signature"));
  assert.equal(
    one.headers.get("signature-input"),
    'usher=("@method" "@authority" "@path" "@query" "content-digest" "content-type" "x-tenant-id" "idempotency-key")' +
      ';created=1;nonce="n";alg="hmac-sha256";keyid="key"',
  );
  assert.equal(await one.text(), "{}", "the body is still there");
});
