/**
 * HTTP message signatures (RFC 9421) by `hmac-sha256`, as a host takes them from services. Nothing but the runtime's own crypto.
 */

export interface ServiceKey {
  id: string;
  /** Its text is the HMAC's key. */
  secret: string;
}

/** A component and its value, in the order in which it is covered. */
export type Covered = readonly [name: string, value: string];

export interface SignatureParams {
  /** Seconds since 1970. */
  created: number;
  keyid: string;
  nonce?: string;
  alg?: string;
}

/** What is signed where the request has it: all that decides what is done, and for whom. */
const IF_THERE = ["content-digest", "content-type", "x-tenant-id", "idempotency-key"];
const LABEL = "usher";
const text = new TextEncoder();

/** RFC 9421, 2.5: the text that is signed, and the parameters as `Signature-Input` has them. */
export function signatureBase(covered: readonly Covered[], params: SignatureParams): { base: string; input: string } {
  const names = covered.map(([name]) => quoted(name)).join(" ");
  let input = `(${names});created=${params.created}`;
  if (params.nonce !== undefined) input += `;nonce=${quoted(params.nonce)}`;
  if (params.alg !== undefined) input += `;alg=${quoted(params.alg)}`;
  input += `;keyid=${quoted(params.keyid)}`;
  const lines = covered.map(([name, value]) => `${quoted(name)}: ${value}`);
  return { base: [...lines, `"@signature-params": ${input}`].join("\n"), input };
}

/** `hmac-sha256` (RFC 9421, 3.3.3), in base64. */
export async function hmac(secret: Uint8Array<ArrayBuffer>, base: string): Promise<string> {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return base64(await crypto.subtle.sign("HMAC", key, text.encode(base)));
}

/** `Content-Digest` of a body, by sha-256 (RFC 9530). */
export async function contentDigest(body: ArrayBuffer): Promise<string> {
  return `sha-256=:${base64(await crypto.subtle.digest("SHA-256", body))}:`;
}

/**
 * Signs a request in place. The nonce is good once: a repeat is signed anew, under the same `Idempotency-Key`.
 */
export async function sign(
  request: Request,
  key: ServiceKey,
  { created = Math.floor(Date.now() / 1_000), nonce = crypto.randomUUID() as string } = {},
): Promise<void> {
  const body = await request.clone().arrayBuffer();
  if (body.byteLength > 0) request.headers.set("content-digest", await contentDigest(body));
  const url = new URL(request.url);
  const covered: Covered[] = [
    ["@method", request.method],
    ["@authority", url.host],
    ["@path", url.pathname],
    ["@query", url.search || "?"],
  ];
  for (const name of IF_THERE) {
    const value = request.headers.get(name);
    if (value !== null) covered.push([name, value.trim()]);
  }
  const { base, input } = signatureBase(covered, { created, nonce, alg: "hmac-sha256", keyid: key.id });
  request.headers.set("signature-input", `${LABEL}=${input}`);
  request.headers.set("signature", `${LABEL}=:${await hmac(text.encode(key.secret), base)}:`);
}

/** A string of structured fields (RFC 8941, 4.1.6). */
function quoted(value: string): string {
  if (!/^[\x20-\x7e]*$/.test(value)) throw new TypeError("what is signed by name is ASCII");
  return `"${value.replace(/["\\]/g, "\\$&")}"`;
}

function base64(bytes: ArrayBuffer): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)));
}
