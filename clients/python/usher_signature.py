"""HTTP message signatures (RFC 9421) by ``hmac-sha256``, as a host takes them from services.

Nothing but the standard library, and httpx, which the generated client sends by::

    client = Client(base_url=url, httpx_args={"auth": SignatureAuth(key_id, secret)})
"""

import base64
import hashlib
import hmac
import time
import uuid
from collections.abc import Generator, Sequence

import httpx

# What is signed where the request has it: all that decides what is done, and for whom.
IF_THERE = ("content-digest", "content-type", "x-tenant-id", "idempotency-key")
LABEL = "usher"


def signature_base(
    covered: Sequence[tuple[str, str]],
    *,
    created: int,
    keyid: str,
    nonce: str | None = None,
    alg: str | None = None,
) -> tuple[str, str]:
    """RFC 9421, 2.5: the text that is signed, and the parameters as ``Signature-Input`` has them."""
    names = " ".join(_quoted(name) for name, _ in covered)
    params = f"({names});created={created}"
    if nonce is not None:
        params += f";nonce={_quoted(nonce)}"
    if alg is not None:
        params += f";alg={_quoted(alg)}"
    params += f";keyid={_quoted(keyid)}"
    lines = [f"{_quoted(name)}: {value}" for name, value in covered]
    return "\n".join([*lines, f'"@signature-params": {params}']), params


def hmac_sha256(secret: bytes, base: str) -> str:
    """RFC 9421, 3.3.3, in base64."""
    return base64.b64encode(hmac.digest(secret, base.encode(), "sha256")).decode()


def content_digest(body: bytes) -> str:
    """RFC 9530, by sha-256."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def sign(
    request: httpx.Request, key_id: str, secret: str, *, created: int | None = None, nonce: str | None = None
) -> None:
    """Signs a request in place. The nonce is good once: a repeat is signed anew, under the same ``Idempotency-Key``."""
    if request.content:
        request.headers["content-digest"] = content_digest(request.content)
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    covered = [
        ("@method", request.method),
        ("@authority", request.headers["host"].lower()),
        ("@path", path),
        ("@query", f"?{query}"),
    ]
    covered += [(name, request.headers[name].strip()) for name in IF_THERE if name in request.headers]
    base, params = signature_base(
        covered,
        created=int(time.time()) if created is None else created,
        nonce=str(uuid.uuid4()) if nonce is None else nonce,
        alg="hmac-sha256",
        keyid=key_id,
    )
    request.headers["signature-input"] = f"{LABEL}={params}"
    request.headers["signature"] = f"{LABEL}=:{hmac_sha256(secret.encode(), base)}:"


class SignatureAuth(httpx.Auth):
    """Signs each request of an httpx client."""

    requires_request_body = True

    def __init__(self, key_id: str, secret: str, *, tenant: str | None = None) -> None:
        """``tenant``: of which tenant the service speaks, where its key is for several."""
        self._key_id, self._secret, self._tenant = key_id, secret, tenant

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._tenant is not None:
            request.headers["x-tenant-id"] = self._tenant
        sign(request, self._key_id, self._secret)
        yield request


def _quoted(value: str) -> str:
    """A string of structured fields (RFC 8941, 4.1.6)."""
    if not value.isascii() or not value.isprintable():
        raise ValueError("what is signed by name is ASCII")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
