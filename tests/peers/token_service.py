"""The endpoint where a service account buys access tokens, on the loopback. It sells only to an assertion that PyPI's google-auth
finds signed, for this endpoint and in time (google.auth.jwt.decode).

usage: token_service.py    prints "PORT", and ends when its standard input does

POST /token       the exchange of RFC 7523
GET  /_account    the account's key file; its token_uri is ?token_uri=
POST /_say        {"expiresIn": seconds} of the next tokens
GET  /_told       {"sold": [token], "claims": [...], "refused": [reason]}

Behind a proxy X-Forwarded-Host names the place that the client meant.
"""
import os, socket, sys, threading
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

EMAIL, KEY_ID = "usher@tests.iam.gserviceaccount.com", "key-of-the-tests"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
private = key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
public = key.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
sold, seen, refused, life = [], [], [], {"expiresIn": 3599}


def why_not(form, here):
    """None: the assertion is good."""
    if form.get("grant_type") != GRANT:
        return "another grant_type"
    try:
        claims = jwt.decode(form["assertion"], certs={KEY_ID: public}, audience=here)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    header = jwt.decode_header(form["assertion"])
    if claims["iss"] != EMAIL or claims["scope"] != SCOPE or header["alg"] != "RS256" or header["kid"] != KEY_ID:
        return f"another account or scope: {claims} {header}"
    if claims["exp"] - claims["iat"] > 3600:
        return "good for more than an hour"
    seen.append(claims)


async def token(request):
    form = await request.post()
    authority = request.headers.get("X-Forwarded-Host", request.headers["Host"])
    reason = why_not(form, f"http://{authority}/token")
    if reason:
        refused.append(reason)
        return web.json_response({"error": "invalid_grant", "error_description": "Invalid JWT."}, status=400)
    sold.append(f"ya29.canary-of-the-tests-{len(sold) + 1}")
    return web.json_response({"access_token": sold[-1], "expires_in": life["expiresIn"], "token_type": "Bearer"})


async def account(request):
    return web.json_response({
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": KEY_ID,
        "private_key": private,
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": request.query["token_uri"],
    })


async def say(request):
    life.update(await request.json())
    return web.Response(status=204)


async def told(request):
    return web.json_response({"sold": sold, "claims": seen, "refused": refused})


def end_with_who_started_us():
    sys.stdin.read()
    os._exit(0)


app = web.Application()
app.router.add_post("/token", token)
app.router.add_get("/_account", account)
app.router.add_post("/_say", say)
app.router.add_get("/_told", told)
threading.Thread(target=end_with_who_started_us, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(app, sock=listener, print=None)
