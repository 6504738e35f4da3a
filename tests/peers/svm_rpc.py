"""A Solana cluster for tests: JSON-RPC over LiteSVM (PyPI `solders`), which runs transactions as validators do.

usage: svm_rpc.py [SLOT_MS]    prints "PORT", and ends when its standard input does

What LiteSVM leaves out is kept here: slots that go by, blockhashes that expire after 150 blocks, commitments (one slot to
confirmed, 32 to finalized), what each signature came to. Block heights are not slots: they are 300 less.

Steered by methods of its own:
  rig_node {"lag": N}            another port on the same bank, which is N slots behind; its number
  rig_fault [METHOD, KIND, TIMES]    what happens to the next calls of a method, at any port; METHOD@PORT: at that one
      "drop"         a transaction is taken, and never lands
      "lost"         done, then HTTP 500 in place of the answer
      "cut"          done, then the connection is cut
      "broken"       not done, HTTP 500
      "current"      getLatestBlockhash of a node that is behind, as one that is not would answer
      "busy"         not done, HTTP 429 with Retry-After: 1
      "odd"          not done, an error whose data are a string
      "foreign"      getGenesisHash of another cluster
      "unseen"       getAccountInfo of a node that does not know the account yet
      "blind"        getSignatureStatuses knows none, until the next transaction comes
      "hold-before"  not before rig_release, be the client still there or not
      "hold-after"   done; the answer waits for rig_release
  rig_calm                       no further faults
  rig_stall PORT                 that node stands still: it says "processed" of whatever is sent to it, which goes nowhere
  rig_release, rig_held          how many are held, since the start
  rig_pause YES                  no slot goes by by itself
  rig_warp N                     so many slots go by at once
  rig_program [ID, FILE]         a program from a file
  rig_keypair                    a new one: its address, and its 64 bytes
  rig_base58 BYTES               the address that they are
  rig_funds [ADDRESS, LAMPORTS]  a balance, whatever it was
  rig_calls                      [PORT, METHOD] of all calls
  rig_sent                       [PORT, SIGNATURE] of all transactions that came
  rig_met                        [METHOD, KIND] of all faults that acted
  rig_mints                      of each mint that a transaction signed for: how many succeeded, and its supply
"""
import base64, http.server, json, os, sys, threading, time
from solders.account import Account
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

SLOT = int(sys.argv[1]) / 1000 if len(sys.argv) > 1 else 0.05
FINAL, WINDOW, BEHIND, LONGEST = 32, 150, 300, 1232

lock = threading.RLock()
released = threading.Condition(lock)
svm = LiteSVM().with_blockhash_check(False)
bank = {"slot": 1000, "held": 0, "releases": 0, "paused": False}
hashes, landed, faults, met, calls, sent, ports = {}, {}, [], [], [], [], {}


class Said(Exception):
    def __init__(self, code, message, data=None):
        self.error = {"code": code, "message": message, **({} if data is None else {"data": data})}


def tick():
    with lock:
        bank["slot"] += 1
        svm.warp_to_slot(bank["slot"])
        clock = svm.get_clock()
        clock.unix_timestamp = int(time.time())
        svm.set_clock(clock)
        svm.expire_blockhash()
        hashes[str(svm.latest_blockhash())] = bank["slot"]
        for old in [h for h, slot in hashes.items() if slot < bank["slot"] - 2000]:
            del hashes[old]


def go_on():
    while True:
        time.sleep(SLOT)
        if not bank["paused"]:
            tick()


def told(error):
    """A transaction's error as nodes write it."""
    name = type(error).__name__
    if name == "TransactionErrorInstructionError":
        inner, code = error.err, getattr(error.err, "code", None)
        return {"InstructionError": [error.index, {"Custom": code} if code is not None else str(inner).split(".")[-1]]}
    if name == "TransactionErrorInsufficientFundsForRent":
        return {"InsufficientFundsForRent": {"account_index": error.account_index}}
    return str(error).split(".")[-1]


class Node:
    """What one port knows: the bank, as it was `lag` slots ago."""

    def __init__(self, port, lag):
        self.port, self.lag, self.stands_at, self.took = port, lag, None, {}

    def now(self):
        return bank["slot"] - self.lag if self.stands_at is None else self.stands_at

    def slot(self, config=None):
        back = {"finalized": FINAL, "confirmed": 1}.get((config or {}).get("commitment", "finalized"), 0)
        return self.now() - back

    def context(self, value):
        return {"context": {"apiVersion": "3.0.0", "slot": self.now()}, "value": value}

    def getGenesisHash(self):
        return ("2" if fault_of("getGenesisHash", self.port, ["foreign"]) else "1") * 32

    def getHealth(self):
        return "ok"

    def getVersion(self):
        return {"solana-core": "3.0.0", "feature-set": 1}

    def getSlot(self, config=None):
        return self.slot(config)

    def getBlockHeight(self, config=None):
        return self.slot(config) - BEHIND

    def getEpochInfo(self, config=None):
        slot = self.slot(config)
        return {"absoluteSlot": slot, "blockHeight": slot - BEHIND, "epoch": 0, "slotIndex": slot,
                "slotsInEpoch": 432000, "transactionCount": len(landed)}

    def getLatestBlockhash(self, config=None):
        is_current = fault_of("getLatestBlockhash", self.port, ["current"])
        at = self.slot(config) + (self.lag if is_current else 0)
        newest = max((h for h in hashes if hashes[h] <= at), key=hashes.get)
        height = hashes[newest] - BEHIND + WINDOW
        return self.context({"blockhash": newest, "lastValidBlockHeight": height})

    def getMinimumBalanceForRentExemption(self, size, config=None):
        return svm.minimum_balance_for_rent_exemption(size)

    def getBalance(self, key, config=None):
        return self.context(svm.get_balance(Pubkey.from_string(key)) or 0)

    def getAccountInfo(self, key, config=None):
        account = svm.get_account(Pubkey.from_string(key))
        if account is None or fault_of("getAccountInfo", self.port, ["unseen"]):
            return self.context(None)
        data = base64.b64encode(bytes(account.data)).decode()
        return self.context({"data": [data, "base64"], "executable": account.executable, "lamports": account.lamports,
                             "owner": str(account.owner), "rentEpoch": 0, "space": len(account.data)})

    def getSignatureStatuses(self, signatures, config=None):
        return self.context([self.status(signature) for signature in signatures])

    def status(self, signature):
        if self.stands_at is not None:
            return self.took.get(signature)
        if any(fault[1] == "blind" for fault in faults):
            return None
        one = landed.get(signature)
        deep = bank["slot"] - self.lag - one["slot"] if one else -1
        if deep < 0:
            return None
        stage = "finalized" if deep >= FINAL else "confirmed" if deep >= 1 else "processed"
        err = one["err"]
        return {"slot": one["slot"], "confirmations": None if deep >= FINAL else deep, "err": err,
                "status": {"Ok": None} if err is None else {"Err": err}, "confirmationStatus": stage}

    def sendTransaction(self, text, config=None):
        raw = base64.b64decode(text)
        if len(raw) > LONGEST:
            raise Said(-32602, f"base64 encoded too large: {len(raw)} bytes (max: {LONGEST} bytes)")
        transaction = VersionedTransaction.from_bytes(raw)
        signature = str(transaction.signatures[0])
        sent.append([self.port, signature])
        faults[:] = [fault for fault in faults if fault[1] != "blind"]
        if self.stands_at is not None:
            self.took[signature] = {"slot": self.stands_at, "confirmations": 0, "err": None, "status": {"Ok": None},
                                    "confirmationStatus": "processed"}
            return signature
        if fault_of("sendTransaction", self.port, ["drop"]):
            return signature

        def fails(err, logs=()):
            data = {"accounts": None, "err": err, "logs": list(logs), "unitsConsumed": 0}
            return Said(-32002, f"Transaction simulation failed: {json.dumps(err)}", data)

        if signature in landed:
            raise fails("AlreadyProcessed")
        since = hashes.get(str(transaction.message.recent_blockhash))
        now = self.slot({"commitment": "confirmed"})
        if since is None or (since > now and not self.lag) or since < bank["slot"] - WINDOW:
            raise fails("BlockhashNotFound")
        tried = svm.simulate_transaction(transaction)
        if isinstance(tried, FailedTransactionMetadata):
            raise fails(told(tried.err()), tried.meta().logs())
        done = svm.send_transaction(transaction)
        failed = isinstance(done, FailedTransactionMetadata)
        keys = transaction.message.account_keys[1:transaction.message.header.num_required_signatures]
        landed[signature] = {"slot": bank["slot"], "err": told(done.err()) if failed else None, "mints": [str(k) for k in keys]}
        return signature

    def requestAirdrop(self, key, lamports):
        svm.airdrop(Pubkey.from_string(key), lamports)
        return "1" * 64

    def rig_node(self, lag):
        return serve(lag)

    def rig_fault(self, method, kind, times=1):
        faults.append([method, kind, times])

    def rig_calm(self):
        faults.clear()

    def rig_stall(self, port):
        ports[port].stands_at = bank["slot"]

    def rig_keypair(self):
        pair = Keypair()
        return {"address": str(pair.pubkey()), "bytes": list(bytes(pair))}

    def rig_base58(self, key):
        return str(Pubkey.from_bytes(bytes(key)))

    def rig_release(self):
        bank["releases"] += 1
        released.notify_all()

    def rig_held(self):
        return bank["held"]

    def rig_pause(self, yes):
        bank["paused"] = yes

    def rig_warp(self, slots):
        for _ in range(slots):
            tick()
        return bank["slot"]

    def rig_program(self, key, file):
        svm.add_program_from_file(Pubkey.from_string(key), file)

    def rig_funds(self, key, lamports):
        system = Pubkey.from_string("1" * 32)
        svm.set_account(Pubkey.from_string(key), Account(lamports, b"", system, False, 0))

    def rig_calls(self):
        return calls

    def rig_sent(self):
        return sent

    def rig_met(self):
        return met

    def rig_mints(self):
        mints = {}
        for one in landed.values():
            for mint in one["mints"] if one["err"] is None else []:
                mints[mint] = mints.get(mint, 0) + 1
        data = {mint: bytes(svm.get_account(Pubkey.from_string(mint)).data) for mint in mints}
        return {mint: {"succeeded": n, "supply": int.from_bytes(data[mint][36:44], "little")} for mint, n in mints.items()}


def fault_of(method, port, kinds):
    for fault in faults:
        name, kind, times = fault
        if times > 0 and kind in kinds and name in (method, f"{method}@{port}"):
            fault[2] -= 1
            met.append([method, kind])
            return kind
    return None


def hold():
    bank["held"] += 1
    releases = bank["releases"]
    released.wait_for(lambda: bank["releases"] > releases)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        node, method = ports[self.server.server_port], question["method"]
        answer = {"jsonrpc": "2.0", "id": question.get("id")}
        with lock:
            if not method.startswith("rig_"):
                calls.append([node.port, method])
            fault = fault_of(method, node.port, ["broken", "busy", "odd", "hold-before", "lost", "cut", "hold-after"])
            if fault == "broken":
                return self.say(500, {})
            if fault == "busy":
                return self.say(429, {}, [("Retry-After", "1")])
            if fault == "odd":
                return self.say(200, {**answer, "error": {"code": -32002, "message": "odd", "data": "a string"}})
            if fault == "hold-before":
                hold()
            try:
                if not hasattr(node, method) or not method.startswith(("get", "send", "request", "rig_")):
                    raise Said(-32601, "Method not found")
                params = question.get("params") or []
                answer["result"] = getattr(node, method)(**params) if isinstance(params, dict) else getattr(node, method)(*params)
            except Said as said:
                answer["error"] = said.error
            except Exception as wrong:
                answer["error"] = {"code": -32602, "message": f"{type(wrong).__name__}: {wrong}"}
            if fault == "hold-after":
                hold()
        if fault == "lost":
            return self.say(500, {})
        if fault == "cut":
            self.close_connection = True
            return None
        return self.say(200, answer)

    def say(self, status, body, headers=()):
        data = json.dumps(body).encode()
        try:
            self.send_response(status)
            for name, value in [("content-type", "application/json"), ("content-length", str(len(data))), *headers]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size, daemon_threads = 128, True


def serve(lag):
    server = Server(("127.0.0.1", 0), Handler)
    ports[server.server_port] = Node(server.server_port, lag)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def end_with_who_started_us():
    sys.stdin.read()
    os._exit(0)


for _ in range(3):
    tick()
threading.Thread(target=go_on, daemon=True).start()
print(serve(0), flush=True)
end_with_who_started_us()
