// npm's http-message-signatures as the verifier of requests (RFC 9421); it leaves the digest of the body (RFC 9530) to its user.
//
// usage: node http_signatures.mjs LIBRARY    reads {keyId, key, requests} and prints a list of "good" and "bad: why"
import { createHash } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";

const { createVerifier, httpbis } = createRequire(import.meta.url)(process.argv[2]);
const { keyId, key, requests } = JSON.parse(fs.readFileSync(0, "utf8"));

const known = { id: keyId, algs: ["hmac-sha256"], verify: createVerifier(Buffer.from(key), "hmac-sha256") };
const config = {
  all: true,
  keyLookup: async ({ keyid }) => (keyid === keyId ? known : null),
  requiredFields: ["@method", "@authority", "@path", "@query", "content-digest", "x-tenant-id", "idempotency-key"],
  requiredParams: ["created", "nonce", "alg", "keyid"],
  maxAge: 300,
};

async function verdict({ method, url, headers, body }) {
  try {
    const digest = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
    if (headers["Content-Digest"] !== digest && headers["content-digest"] !== digest) return "bad: another body";
    const verified = await httpbis.verifyMessage(config, { method, url, headers });
    return verified === true ? "good" : `bad: ${verified}`;
  } catch (error) {
    return `bad: ${error.message}`;
  }
}

console.log(JSON.stringify(await Promise.all(requests.map(verdict))));
