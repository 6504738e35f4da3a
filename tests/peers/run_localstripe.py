"""localstripe (PyPI) on the loopback alone: its own launcher binds every address and keeps its state in the temporary folder.

usage: run_localstripe.py    prints "PORT", and ends when its standard input does

It refuses parameters of Stripe's that it does not know. Where money moves, those of a creation are left out here instead, and
lists take a window of `created`. What it does with a request is its own.
"""
import inspect, operator, os, socket, sys, threading
from aiohttp import web
from localstripe import resources, server

COMPARED = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def leave_out_unknown(cls, *known):
    create, names = cls._api_create, {*inspect.signature(cls.__init__).parameters, *known}
    cls._api_create = classmethod(lambda _, **fields: create(**{n: v for n, v in fields.items() if n in names}))


def list_by_window(cls):
    every = cls._api_list_all

    def listed(_, url, created=None, **more):
        found = every(url, **more)
        for comparison, at in (created or {}).items():
            found._list = [one for one in found._list if COMPARED[comparison](one.created, int(at))]
        return found

    cls._api_list_all = classmethod(listed)


def end_with_who_started_us():
    sys.stdin.read()
    os._exit(0)


leave_out_unknown(resources.PaymentIntent, "confirm", "off_session")
leave_out_unknown(resources.Refund)
leave_out_unknown(resources.Payout)
for cls in (resources.PaymentIntent, resources.Refund, resources.Payout, resources.Charge):
    list_by_window(cls)
resources.Store.dump_to_disk = lambda self: None

threading.Thread(target=end_with_who_started_us, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(server.app, sock=listener, print=None)
