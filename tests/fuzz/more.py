"""What `st run` leaves too few of: successful answers. usage: more.py URL LEAST CALLER

Draws further requests that the document allows, operation by operation, until each that can succeed has done so LEAST times,
and checks every answer as `st run` does. An answer of 304 is a success: it says that the caller has it already. An operation
without parameters has one request only: it is sent again and again.
Prints a JSON object: {"cases", "failures": [...], "few": {operation: successes}}.
"""
import json, sys

import hooks
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode

# Each round draws anew; an operation that has had no success in so many is given up.
PATIENCE = 3
BATCH = 100

url, least, caller = sys.argv[1], int(sys.argv[2]), sys.argv[3]
token = hooks.CALLERS[caller]["token"]
with open(hooks.CONTEXT["counts"]) as file:
    before = json.load(file)
config = schemathesis.Config.from_path(hooks.CONTEXT["config"])
schema = schemathesis.openapi.from_url(url, config=config)
cases, failures, few = 0, [], {}


def successes(label):
    both = [before.get(label, {}), hooks.COUNTS[label]]
    return sum(n for counts in both for status, n in counts.items() if status[0] in "23")


def draw(operation, want, round):
    @seed(round)
    @settings(
        max_examples=want,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def send(case):
        global cases
        cases += 1
        try:
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"})
        except (Exception, FailureGroup) as error:
            failures.append(f"{operation.label}: {error}")

    send()


for result in schema.get_all_operations():
    operation = result.ok()
    label, barren, round = operation.label, 0, 0
    while (had := successes(label)) < least and barren < PATIENCE:
        draw(operation, min(BATCH, least - had), round)
        round += 1
        barren = 0 if successes(label) > had else barren + 1
    if successes(label) < least:
        few[label] = successes(label)

print(json.dumps({"cases": cases, "failures": failures, "few": few}))
