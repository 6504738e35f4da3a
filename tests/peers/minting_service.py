"""A minting service that takes signed requests only (RFC 9421, verified by PyPI's http-message-signatures), on the loopback.

usage: minting_service.py KEY_ID KEY    prints "PORT", and ends when its standard input does

POST /api/v1/mint/compressed    {ticketId, metadataUri}: mints once under an Idempotency-Key, for the tenant of X-Tenant-ID
PUT  /storage/SHA256            keeps a body under the sha256 of it, which must be its name
POST /rpc/                      JSON-RPC mintCompressedNft: mints at each call, without a signature
GET  /_told                     what it did, and the signed requests that came

Behind a proxy X-Forwarded-Host names the place that the client meant.
"""
import datetime, hashlib, json, os, socket, sys, threading, types
from aiohttp import web
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

KEY_ID, KEY = sys.argv[1:3]
COVERED = ("@method", "@authority", "@path", "@query", "content-digest", "x-tenant-id", "idempotency-key")


class Keys(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id):
        return KEY.encode() if key_id == KEY_ID else None


verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=Keys())
mints, seen, answers, nonces, stored = [], [], {}, set(), {}


def why_not(message, body):
    """None: it is signed, for this body, and was never seen before."""
    try:
        five_minutes = datetime.timedelta(minutes=5)
        [verified] = verifier.verify(message, max_age=five_minutes, require_components=COVERED, body=body)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if verified.body != body:
        return "the body is not covered"
    nonce = verified.parameters.get("nonce")
    if not nonce or nonce in nonces:
        return "no nonce, or one that was used"
    nonces.add(nonce)


def mint(ticket, tenant):
    mints.append({"ticket": ticket, "tenant": tenant, "asset": f"asset-{len(mints) + 1}"})
    return mints[-1]["asset"]


async def compressed(request):
    body = await request.read()
    authority = request.headers.get("X-Forwarded-Host", request.headers["Host"])
    url = f"http://{authority}{request.raw_path}"
    message = types.SimpleNamespace(method=request.method, url=url, headers=request.headers)
    reason = why_not(message, body)
    status, answer = (401, {"error": reason}) if reason else once(request.headers, body)
    headers = dict(request.headers)
    seen.append({"method": request.method, "url": url, "headers": headers, "body": body.decode(), "status": status})
    return web.json_response(answer, status=status)


def once(headers, body):
    key, tenant = headers["Idempotency-Key"], headers["X-Tenant-ID"]
    first_body, answer = answers.get((tenant, key), (body, None))
    if first_body != body:
        return 422, {"error": "another request had this key"}
    if answer is None:
        wanted = json.loads(body)
        if wanted["metadataUri"].removeprefix("storage:/") not in stored:
            return 409, {"error": "there are no such metadata"}
        answer = {"assetId": mint(wanted["ticketId"], tenant)}
        answers[tenant, key] = (body, answer)
    return 201, answer


async def store(request):
    body, name = await request.read(), request.match_info["name"]
    if hashlib.sha256(body).hexdigest() != name:
        return web.json_response({"error": "the name is not that of the content"}, status=400)
    stored[name] = body
    return web.Response(status=204)


async def rpc(request):
    call = await request.json()
    answer = {"jsonrpc": "2.0", "id": call.get("id")}
    if call.get("method") != "mintCompressedNft":
        answer["error"] = {"code": -32601, "message": "no such method"}
    elif not call["params"]["metadata"].get("name"):
        answer["error"] = {"code": -32602, "message": "the metadata have no name"}
    else:
        answer["result"] = {"assetId": mint(call["id"], None)}
    return web.json_response(answer)


async def told(request):
    return web.json_response({"mints": mints, "seen": seen})


def end_with_who_started_us():
    sys.stdin.read()
    os._exit(0)


app = web.Application()
app.router.add_post("/api/v1/mint/compressed", compressed)
app.router.add_put("/storage/{name}", store)
app.router.add_post("/rpc/", rpc)
app.router.add_get("/_told", told)
threading.Thread(target=end_with_who_started_us, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(app, sock=listener, print=None)
