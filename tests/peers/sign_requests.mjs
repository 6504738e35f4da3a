// npm's http-message-signatures as the signer of requests (RFC 9421).
//
// usage: node sign_requests.mjs LIBRARY    reads {keyId, key, requests} and prints the requests with their signatures
//
// A request is {method, url, headers, body, sign}, with how it is signed, or a list of that where it is signed several times:
// {components, created?, expires?, nonce?, alg?, keyId?, key?, label?}.
import fs from "node:fs";
import { createRequire } from "node:module";

const { createSigner, httpbis } = createRequire(import.meta.url)(process.argv[2]);
const { keyId, key, requests } = JSON.parse(fs.readFileSync(0, "utf8"));

const at = (seconds) => (seconds == null ? null : new Date(seconds * 1000));

async function once(request, how) {
  const values = {
    keyid: how.keyId ?? keyId,
    alg: how.alg ?? "hmac-sha256",
    created: at(how.created),
    expires: at(how.expires),
    nonce: how.nonce,
  };
  const config = {
    key: createSigner(Buffer.from(how.key ?? key), "hmac-sha256"),
    name: how.label,
    fields: how.components,
    params: Object.keys(values).filter((name) => values[name] != null),
    paramValues: values,
  };
  return { ...request, headers: (await httpbis.signMessage(config, request)).headers };
}

async function signed({ sign, ...request }) {
  for (const how of [sign].flat()) request = await once(request, how);
  return request;
}

console.log(JSON.stringify(await Promise.all(requests.map(signed))));
