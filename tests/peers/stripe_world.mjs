// Stripe World (PyPI) behind HTTP on the loopback. It wants Python 3.14, which npm's pyodide is (CPython in WebAssembly).
//
// usage: node stripe_world.mjs FOLDER    FOLDER is what `cargo xtask setup` made: node_modules, wheels, site
// Prints "PORT" when it serves, and ends when its standard input does.
//
// PUT /worlds/ID makes an account of its own, /worlds/ID/v1/… is its API, DELETE /worlds/ID forgets it. Requests are answered
// one after another.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";

// Whoever started us holds our standard input open; when it is gone, so are we.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

const folder = path.resolve(process.argv[2]);
const { loadPyodide } = await import(pathToFileURL(path.join(folder, "node_modules/pyodide/pyodide.mjs")));

const python = await loadPyodide();
for (const wheel of fs.readdirSync(path.join(folder, "wheels")).filter((name) => name.endsWith("wasm32.whl"))) {
  const url = String(pathToFileURL(path.join(folder, "wheels", wheel)));
  await python.loadPackage(url, { checkIntegrity: false, messageCallback() {} });
}
python.FS.mkdirTree("/site");
python.mountNodeFS("/site", path.join(folder, "site"));
python.runPython(`
import os, sys
sys.path.insert(0, "/site")
# Its check of who owns the files asks for it, and WebAssembly has no users.
os.geteuid = lambda: 0

from seahaven.http.messages import HttpRequest
from seahaven.http.runtime import Registry, dispatch
from seahaven_stripe_world.http_api import handle
from seahaven_stripe_world.world import world

worlds = Registry(world, {"startup": {"livemode": False}}, 1000)

def put(id):
    worlds.put(id, {})

def delete(id):
    return worlds.delete(id)

def settled(ctx, request):
    # Charges are there to be paid out at once, and not after two business days.
    ctx.state["account"]["ledger"] = {"settlement_business_days": 0}
    return handle(ctx, request)

def call(id, method, path, query, headers, body):
    headers = tuple((name, value) for name, value in headers.to_py())
    request = HttpRequest(method=method, path=path, query=query, headers=headers, body=bytes(body.to_py()))
    response = worlds.run(id, lambda instance: dispatch(instance, settled, request))
    body = response.body.encode() if isinstance(response.body, str) else response.body
    return response.status, [list(header) for header in response.headers], body
`);
const call = python.globals.get("call");
const put = python.globals.get("put");
const forget = python.globals.get("delete");

function serve(request, body) {
  const url = new URL(request.url, "http://localhost");
  const [, id, rest] = /^\/worlds\/([^/]+)(\/.*)?$/.exec(url.pathname) ?? [];
  if (id === undefined) return { status: 404, headers: {}, body: "the accounts are under /worlds/ID" };
  if (rest === undefined && request.method === "PUT") {
    put(id);
    return { status: 200, headers: {}, body: "" };
  }
  if (rest === undefined && request.method === "DELETE") {
    return { status: forget(id) ? 204 : 404, headers: {}, body: "" };
  }
  const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)]);
  const answer = call(id, request.method, decodeURIComponent(rest ?? "/"), url.search.slice(1), headers, new Uint8Array(body));
  const [status, sent, bytes] = answer.toJs({ create_pyproxies: false });
  answer.destroy();
  return { status, headers: Object.fromEntries(sent), body: Buffer.from(bytes) };
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    let answer;
    try {
      answer = serve(request, Buffer.concat(chunks));
    } catch (e) {
      console.error(e);
      answer = { status: 599, headers: {}, body: "Stripe World itself broke; see its log" };
    }
    response.writeHead(answer.status, answer.headers);
    response.end(answer.body);
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
