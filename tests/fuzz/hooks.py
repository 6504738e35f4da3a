"""What schemathesis is told of this product: real ids for paths, what no schema can say of a body, and two checks of our own.

Loaded by `st run` (SCHEMATHESIS_HOOKS) and by more.py. FUZZ_CONTEXT names a JSON file with:

base      where the host listens
callers   by role: {"role", "token"}
roles     the table of tests/roles/table.rs: "METHOD path" -> lowest role
endpoint  one of t1's webhook endpoints, which stays
victim    a plugin that serves no job here: its name, and two versions
component the file of a component that is published
webhook   a private place that the host may call
config    schemathesis.toml
counts    where to leave what was answered, by operation and status
limited   where limits are on, how many jobs they let through at once: only then may an answer be 429 or 503
"""
import atexit, copy, json, os, random, re, threading, time, uuid
from collections import Counter, defaultdict

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation as At

with open(os.environ["FUZZ_CONTEXT"]) as file:
    CONTEXT = json.load(file)
BASE, CALLERS, ROLES = CONTEXT["base"], CONTEXT["callers"], CONTEXT["roles"]
ROLE_OF = {f"Bearer {caller['token']}": caller["role"] for caller in CALLERS.values()}
# Who may do what: each role with those that may do the same.
MAY = {
    "anyone": {"stranger", "user", "venue_admin", "admin"},
    "caller": {"user", "venue_admin", "admin"},
    "venue_admin": {"venue_admin", "admin"},
    "admin": {"admin"},
}
COUNTS = defaultdict(Counter)
LOCK = threading.Lock()
RANDOM = random.Random(int(os.environ.get("FUZZ_SEED", "1")))
HTTP = requests.Session()
HTTP.trust_env = False


def as_admin(method, path, **more):
    """What a precondition needs; not one of the cases."""
    headers = {"authorization": f"Bearer {CALLERS['admin of t1']['token']}", **more.pop("headers", {})}
    return HTTP.request(method, BASE + path, headers=headers, timeout=30, **more)


def made(method, path, body, field="id"):
    answer = as_admin(method, path, json=body)
    if not answer.ok:
        raise AssertionError(f"no precondition by {method} {path}: {answer.status_code} {answer.text[:500]}")
    return answer.json()[field]


# ── What ids stand for ───────────────────────────────────────────────────────────────────────────

POOLS = {}


def pool(name, size, make):
    """One of `size` things that are made when they are first asked for, and used again."""
    kept = POOLS.setdefault(name, [])
    if len(kept) < size:
        kept.append(make())
        return kept[-1]
    return RANDOM.choice(kept)


def job(what, **more):
    return made("POST", "/jobs", {"type": "guest", "payload": what, **more})


def in_state(id, states, patience=20):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        state = as_admin("GET", f"/jobs/{id}").json().get("state")
        if state in states:
            return id
        time.sleep(0.02)
    raise AssertionError(f"the job {id} is {state}, not one of {states}")


def tomorrow():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))


def ended():
    return pool("ended", 20, lambda: in_state(job({"do": "ok"}), ["completed"]))


def dead():
    """Dead ones die again when they are retried: after a while they may be so once more."""
    return in_state(pool("dead", 40, lambda: job({"do": "permanent"})), ["dead"])


def parked():
    """An effect in doubt, which only a person can settle, once."""
    effects = as_admin("GET", "/effects?state=doubt").json()["items"]
    if effects:
        effect = RANDOM.choice(effects)
        return effect["job"], effect["seq"]
    return None


def bulk():
    body = {"filter": {"type": "guest", "reason": "permanent"}, "rate": 10_000}
    return pool("bulk", 2, lambda: made("POST", "/jobs/bulk/retry", body))


def endpoint():
    return made("POST", "/webhook-endpoints", {"url": f"{CONTEXT['webhook']}?{RANDOM.random()}"})


def key():
    return made("POST", "/keys", {"name": "fuzz", "role": "service", "tenants": ["t1"], "jobTypes": ["guest"]})


def alert(state="open"):
    path = f"/alerts?limit=200&state={state}" if state else "/alerts"
    alerts = as_admin("GET", path).json()["items"]
    return RANDOM.choice(alerts)["id"] if alerts else None


QUEUE, VICTIM = "spare", CONTEXT["victim"]
one_endpoint = lambda: pool("endpoint", 3, endpoint)
one_key = lambda: pool("key", 3, key)

# By operation: the values of its path, in their order, such that the request can succeed. The first ones always stand there, also
# where schemathesis has an id of its own: what they change must not be what the other requests stand on.
ALWAYS = {
    "PUT /limits/{scope}": lambda: ["type/guest-slow"],
    "PUT /rate-limits/{bucket}": lambda: ["tenant/nobody/provider/email"],
    "POST /queues/{name}/pause": lambda: [QUEUE],
    "POST /queues/{name}/resume": lambda: [QUEUE],
    "POST /queues/{name}/clear": lambda: [QUEUE],
    "POST /providers/{name}/pause": lambda: ["sms"],
    "POST /providers/{name}/resume": lambda: ["sms"],
    "POST /plugins/{name}/activate": lambda: [VICTIM["name"]],
    "POST /plugins/{name}/rollback": lambda: [VICTIM["name"]],
    # Whose types would be gone, with the submits that were drawn for them.
    "POST /plugins/{name}/retire": lambda: ["nobodys-plugin"],
    "DELETE /plugins/{name}/releases/{digest}": lambda: ["nobodys-plugin", "sha256:" + 64 * "0"],
    "POST /plugins/{name}/migrate": lambda: [VICTIM["name"]],
}
PATHS = {
    "GET /jobs/{id}": lambda: [ended()],
    "GET /jobs/{id}/events": lambda: [ended()],
    "POST /jobs/{id}/retry": lambda: [dead()],
    "DELETE /jobs/{id}": lambda: [job({"do": "ok"}, runAt=tomorrow())],
    "GET /jobs/bulk/{id}": lambda: [bulk()],
    "GET /queues/{name}": lambda: [RANDOM.choice(["money", "communication", "background", QUEUE])],
    "POST /effects/{job}/{seq}/resolve": parked,
    "GET /plugins/{name}": lambda: [RANDOM.choice(["guest", VICTIM["name"]])],
    "GET /plugins/{name}/releases": lambda: ["guest"],
    "GET /plugins/{name}/usage": lambda: ["guest"],
    "GET /webhook-endpoints/{id}": lambda: [one_endpoint()],
    "PATCH /webhook-endpoints/{id}": lambda: [one_endpoint()],
    "DELETE /webhook-endpoints/{id}": lambda: [endpoint()],
    "GET /webhook-endpoints/{id}/deliveries": lambda: [one_endpoint()],
    "POST /webhook-endpoints/{id}/ping": lambda: [one_endpoint()],
    "POST /webhook-endpoints/{id}/replay": lambda: [one_endpoint()],
    "POST /webhook-endpoints/{id}/rotate": lambda: [one_endpoint()],
    "GET /keys/{id}": lambda: [one_key()],
    "DELETE /keys/{id}": lambda: [key()],
    "POST /keys/{id}/rotate": lambda: [one_key()],
    "GET /alerts/{id}": lambda: [alert(None)],
    "POST /alerts/{id}/ack": lambda: [alert()],
    "POST /alerts/{id}/silence": lambda: [alert()],
    "POST /alerts/{id}/resolve": lambda: [alert()],
}


# ── What no schema can say of a body ─────────────────────────────────────────────────────────────


def short(value):
    """Numbers of more than 19 digits are refused in every payload, whatever its schema says."""
    if isinstance(value, dict):
        return {name: short(member) for name, member in value.items()}
    if isinstance(value, list):
        return [short(item) for item in value]
    if isinstance(value, int) and abs(value) >= 10**18:
        return abs(value) % 10**18
    return value


def submit(body):
    # Times that fit the moment, and each other.
    for name in ("runAt", "expiresIn"):
        if name in body:
            body.pop(name)
            if name == "runAt" and "expiresIn" not in body:
                body[name] = tomorrow()
    # A user names no tenant; an admin's is its own here.
    body.pop("tenant", None)
    # A key of a type's own, or an order among jobs, would make the next one wait for this one.
    body.pop("orderingKey", None)
    if "payload" in body:
        body["payload"] = short(body["payload"])


def batch(body):
    # More than a limit ever lets through at once is unsound.
    if CONTEXT.get("limited") and isinstance(body.get("jobs"), list):
        body["jobs"] = body["jobs"][: CONTEXT["limited"]]
    for one in body.get("jobs", []):
        submit(one)
        if "idempotencyKey" in one:
            one["idempotencyKey"] = unique()


def unique():
    """A key that no other job was submitted under, also not by another run on the same database."""
    return uuid.uuid4().hex


def endpoint_body(body):
    body.pop("tenant", None)
    if body.get("url") is not None:
        body["url"] = f"{CONTEXT['webhook']}?{RANDOM.random()}"
    if body.get("events"):
        body["events"] = ["payment.completed"]
    # A disabled one takes no ping.
    if body.get("state") is not None:
        body["state"] = "enabled"


def replay(body):
    body.clear()
    body["since"] = "2026-01-01T00:00:00Z"


def resolve(body):
    body.clear()
    body.update(outcome="void", evidence="It is not there.")


def key_body(body):
    body.update(role="service", tenants=["t1"], jobTypes=["guest"])


def revocation(body):
    body.pop("issuer", None)
    # At most 255 bytes, of which a schema counts characters.
    if isinstance(body.get("jti"), str):
        body["jti"] = body["jti"][:60]
    body["exp"] = int(time.time()) + 3_600


def release(body):
    """The other one of two: what serves already is not activated once more."""
    body.clear()
    serving = as_admin("GET", f"/plugins/{VICTIM['name']}").json()["version"]
    body["version"] = next(version for version in VICTIM["versions"] if version != serving)


BODIES = {
    "POST /jobs": submit,
    "POST /jobs/batch": batch,
    "POST /jobs/bulk/retry": lambda body: body.update(filter={"type": "nothing"}),
    "POST /jobs/{id}/retry": lambda body: body.clear(),
    "POST /queues/{name}/clear": lambda body: body.update(confirm=QUEUE),
    "POST /webhook-endpoints": endpoint_body,
    "PATCH /webhook-endpoints/{id}": endpoint_body,
    "POST /webhook-endpoints/{id}/replay": replay,
    "POST /effects/{job}/{seq}/resolve": resolve,
    "POST /alerts/{id}/silence": lambda body: body.update({"for": "10m"}),
    "POST /keys": key_body,
    "POST /plugins/{name}/activate": release,
    "POST /plugins/{name}/rollback": release,
    "POST /revocations": revocation,
    "PUT /rate-limits/{bucket}": lambda body: body.update(rate="100/s", burst=50),
}

# Cursors that the host gave out, by operation: any text is one by its schema, and none of them by the host.
CURSORS = defaultdict(list)
# A component that is published already: once more is no news, and costs no compiler.
with open(CONTEXT["component"], "rb") as file:
    COMPONENT = file.read()
schemathesis.openapi.media_type("application/wasm", st.just(COMPONENT))


def is_negative(case, at):
    return case.meta is not None and case.meta.is_negative_at(at)


def is_stateful(case):
    return case.meta is not None and "stateful" in case.meta.phase.name.value.lower()


@schemathesis.hook
def before_call(context, case, kwargs):
    label = f"{case.method.upper()} {case.operation.path}"
    if label != case.operation.label:
        return  # A method that the operation does not have.
    make = ALWAYS.get(label) or (None if is_stateful(case) else PATHS.get(label))
    if make and not is_negative(case, At.PATH):
        values = make()
        if values and None not in values:
            case.path_parameters = dict(zip(re.findall(r"\{(\w+)\}", case.operation.path), values))
    # Copies: what was drawn may be an example of the document itself.
    if isinstance(case.body, dict) and not is_negative(case, At.BODY) and label in BODIES:
        body = copy.deepcopy(case.body)
        BODIES[label](body)
        case.body = body
    # The strategy of a media type knows no bad values.
    if label == "POST /plugins" and case.meta is not None and case.meta.generation.mode.is_negative:
        if isinstance(case.body, bytes):
            case.body = RANDOM.randbytes(100)
    if case.query and not is_negative(case, At.QUERY):
        case.query = fixed_query(label, dict(case.query))
    for name in list(case.headers or {}):
        if name.lower() == "idempotency-key" and not is_negative(case, At.HEADER):
            case.headers[name] = unique()
        # Neither a signature nor the name of an event is one by its form alone.
        if name.lower() in ("usher-signature", "last-event-id") and not is_negative(case, At.HEADER):
            case.headers.pop(name)
            continue
        # Nobody waits a minute for each of thousands of cases, whatever else the header says.
        if name.lower() == "prefer" and "wait" in str(case.headers[name]):
            case.headers[name] = "wait=0"
    if label == "POST /webhook-endpoints":
        make_room()


def make_room():
    """A tenant has fifty at most; those that the other requests stand on stay."""
    items = as_admin("GET", "/webhook-endpoints?tenant=t1&limit=200").json()["items"]
    kept = POOLS.get("endpoint", [])
    for item in items[30:]:
        if item["id"] not in kept and item["id"] != CONTEXT["endpoint"]:
            as_admin("DELETE", f"/webhook-endpoints/{item['id']}")


def fixed_query(label, query):
    if "cursor" in query:
        if CURSORS[label]:
            query["cursor"] = RANDOM.choice(CURSORS[label])
        else:
            query.pop("cursor")
    # A user may name none but its own.
    if "tenant" in query:
        query["tenant"] = "t1"
    # The API knows of no time before 1970.
    for name in ("since", "until"):
        if name in query:
            query[name] = "2026-01-01T00:00:00Z"
    # A stream that has nothing to say is silent, and each such case would wait for as long as a request may take.
    if label == "GET /events":
        query.pop("type", None)
        query.pop("state", None)
    return query


@schemathesis.hook
def after_call(context, case, response):
    with LOCK:
        COUNTS[case.operation.label][str(response.status_code)] += 1
    if response.status_code == 200 and "json" in response.headers.get("content-type", [""])[0]:
        try:
            body = response.json()
        except ValueError:
            return
        cursor = body.get("nextCursor") if isinstance(body, dict) else None
        if cursor:
            CURSORS[case.operation.label] = (CURSORS[case.operation.label] + [cursor])[-5:]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Where limits are on, to be limited is no failure, as long as it is said when to come again."""
    is_told = response.headers.get("retry-after") is not None
    return not (CONTEXT.get("limited") and response.status_code in (429, 503) and is_told)


# ── Checks of our own ────────────────────────────────────────────────────────────────────────────


@schemathesis.check
def role_is_checked(ctx, response, case):
    """Nobody is answered with success whose role may not do this, by the table that was written by hand."""
    if case.method.upper() != case.operation.method.upper() or not 200 <= response.status_code < 300:
        return
    lowest = ROLES.get(case.operation.label)
    if lowest is None:
        raise AssertionError(f"{case.operation.label} is not in tests/roles/table.rs: who may do it?")
    role = ROLE_OF.get(response.request.headers.get("Authorization"), "stranger")
    if role not in MAY[lowest]:
        raise AssertionError(f"{case.operation.label} is for {lowest}, and {role} got {response.status_code}")


@schemathesis.check
def problem_is_whole(ctx, response, case):
    """RFC 9457, with all that we promise."""
    if response.status_code < 400 or case.method.upper() == "HEAD":
        return
    if response.headers.get("content-type", [""])[0].split(";")[0] != "application/problem+json":
        raise AssertionError(f"a {response.status_code} that is no problem+json")
    problem = response.json()
    for name, kind in {"type": str, "title": str, "status": int, "detail": str, "instance": str}.items():
        if not isinstance(problem.get(name), kind):
            raise AssertionError(f"a problem without {name}: {problem}")
    if problem["status"] != response.status_code:
        raise AssertionError(f"says {problem['status']} and is {response.status_code}")
    for error in problem.get("errors", []):
        if not re.fullmatch(r"(/.*)?", error.get("pointer", "-"), re.DOTALL):
            raise AssertionError(f"an error without a JSON pointer: {error}")
    if any(ord(c) < 32 and c not in "\t\n" or 127 <= ord(c) < 160 for c in json.dumps(problem, ensure_ascii=False)):
        raise AssertionError("a problem that speaks to a terminal")


@atexit.register
def leave_counts():
    path = CONTEXT["counts"]
    before = defaultdict(Counter)
    if os.path.exists(path):
        with open(path) as file:
            before.update({label: Counter(counts) for label, counts in json.load(file).items()})
    for label, counts in COUNTS.items():
        before[label].update(counts)
    with open(path, "w") as file:
        json.dump(before, file)
