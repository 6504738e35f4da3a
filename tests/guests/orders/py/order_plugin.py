"""Confirms an order: the Python one of three."""

import json
import os
import random
import socket
import sys
import time
import uuid

from componentize_py_types import Err
from wit_world.imports import context, email, log, types, upstream, webhook


class Handler:
    def process(self, job: types.Job) -> str:
        order = json.loads(job.payload)
        name = order["orderId"]
        if not order["items"]:
            raise permanent(f"order {name} has no items")
        for item in order["items"]:
            if item["quantity"] == 0:
                raise permanent(f"order {name}: none of {item['sku']} is ordered")
        if "trouble" in order:
            done = json.dumps(make(order["trouble"]))
            if order.get("failOnce") and job.attempt == 1:
                raise Err(types.Failure_Retry(done))
            return done

        before = seen()
        asked = ask(upstream.Method.GET, f"/orders/{name}")
        if asked.status == 404:
            raise permanent(f"the shop knows no order {name}")
        if asked.status != 200:
            raise permanent(f"the shop answered {asked.status}")
        known = json.loads(asked.body)
        number = f"{random.getrandbits(64):016x}"

        mail = confirm(order, number)
        told = ask(upstream.Method.POST, f"/orders/{name}/confirmed", {"number": number})
        after = seen()
        try:
            webhook.publish("order.confirmed", json.dumps({"order": name, "number": number}))
        except Err as error:
            raise permanent(str(error.value)) from error
        done = json.dumps({
            "order": name, "total": known["total"], "currency": known["currency"], "number": number,
            "mail": mail, "told": told.status, "before": before, "after": after,
        })
        if order.get("failOnce") and job.attempt == 1:
            raise Err(types.Failure_Retry(done))
        return done


def confirm(order, number):
    name = order["orderId"]
    try:
        sent = email.send(email.Message(
            profile="default",
            to=[order["email"]],
            subject=f"Order {name}",
            text=f"Order {name} is confirmed. Your number is {number}.",
            html=None,
            reply_to=None,
            attachments=[],
        ))
    except Err as error:
        # The order stands, mail or not.
        if isinstance(error.value, types.Error_Rejected):
            return {"rejected": error.value.value.code}
        raise permanent(str(error.value)) from error
    return {"sent": sent.message_id}


def ask(method, path, body=None) -> upstream.Response:
    headers = [] if body is None else [("content-type", "application/json")]
    body = None if body is None else json.dumps(body).encode()
    try:
        return upstream.call(upstream.Request("rig", method, path, [], headers, body))
    except Err as error:
        raise permanent(str(error.value)) from error


def permanent(message: str) -> Err:
    return Err(types.Failure_Permanent(message))


def seen():
    """Clock and dice, as this language has them."""
    return {"now": context.now_ms(), "language": round(time.time() * 1000), "random": random.random()}


def make(trouble: str):
    if trouble == "throw":
        raise ValueError("the guest gave up")
    if trouble == "loop":
        while True:
            pass
    if trouble == "wait":
        began = time.monotonic()
        while time.monotonic() < began + 60:
            time.sleep(60)
        return "time moved"
    if trouble == "allocate":
        kept = []
        while True:
            kept.append(bytearray(1 << 20))
    if trouble == "print":
        print("said by the guest")
        print("complained by the guest", file=sys.stderr)
        return None
    if trouble == "flood":
        for n in range(20_000):
            print(f"flood {n} {'x' * 100}")
        return None
    if trouble == "probe":
        return {
            "environment": any(name in os.environ for name in ("PATH", "HOME", "DATABASE_URL", "USHER_TEST_JWT")),
            "file": can(lambda: open("/etc/hostname").read()),
            "folder": can(lambda: os.listdir("/")),
            "written": can(lambda: open("/tmp/usher", "w").write("x")),
            "connected": False,
        }
    if trouble == "sleep":
        time.sleep(3600)
        return time.time() * 1000 - context.now_ms()
    if trouble == "socket":
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", 1))
    if trouble == "exit":
        os._exit(3)
    if trouble == "dice":
        return {"random": random.random(), "bytes": list(os.urandom(8)), "uuid": str(uuid.uuid4())}
    log.write(log.Level.WARN, "no such trouble", [("trouble", trouble)])
    raise permanent(f"no such trouble: {trouble}")


def can(do) -> bool:
    try:
        do()
        return True
    except OSError:
        return False
