"""PyPI's http-message-signatures as the signer of requests (RFC 9421).

usage: sign_requests.py    reads {keyId, key, requests} and prints the requests with their signatures

A request is {method, url, headers, body, sign}, with how it is signed: {components, created, expires?, nonce?}.
"""
import datetime, json, sys, types
from http_message_signatures import HTTPMessageSigner, algorithms
from http_message_signatures.resolvers import MappingKeyResolver

given = json.load(sys.stdin)
keys = MappingKeyResolver(public_keys={}, private_keys={given["keyId"]: given["key"].encode()})
signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys)


def at(seconds):
    return seconds and datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


for request in given["requests"]:
    how = request.pop("sign")
    # It writes its two headers into those that it is given.
    message = types.SimpleNamespace(method=request["method"], url=request["url"], headers=request["headers"])
    signer.sign(
        message,
        key_id=given["keyId"],
        created=at(how["created"]),
        expires=at(how.get("expires")),
        nonce=how.get("nonce"),
        covered_component_ids=how["components"],
        use_existing_digest="content-digest" in request["headers"],
    )

print(json.dumps(given["requests"]))
