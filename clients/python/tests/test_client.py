"""Against a real host: USHER_URL, and USHER_TOKEN and USHER_ADMIN for two callers."""

import os
import time
import unittest
import uuid

import httpx

from usher_client import AuthenticatedClient, Client
from usher_client.api.jobs import get_job, list_jobs, submit_job
from usher_client.models import Job, JobPage, Problem, Submit
from usher_signature import SignatureAuth

URL = os.environ["USHER_URL"]
OVER = {"completed", "cancelled", "dead"}


def job(event: str) -> Submit:
    return Submit(type_="analytics-track", payload={"event": event})


def wait(client: Client | AuthenticatedClient, job_id: uuid.UUID) -> Job:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = get_job.sync(job_id, client=client)
        assert isinstance(found, Job), found
        if found.state in OVER:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{job_id} does not end")


class Clients(unittest.TestCase):
    def setUp(self) -> None:
        self.client = AuthenticatedClient(base_url=URL, token=os.environ["USHER_TOKEN"])

    def test_a_job_is_submitted_and_waited_for(self) -> None:
        answer = submit_job.sync_detailed(client=self.client, body=job("py.wait"))
        self.assertEqual(answer.status_code, 202, answer.content)
        assert isinstance(answer.parsed, Job)
        self.assertEqual(answer.headers["location"], f"/jobs/{answer.parsed.id}")
        ended = wait(self.client, answer.parsed.id)
        self.assertEqual((ended.state, ended.payload), ("completed", {"event": "py.wait"}))

    def test_a_key_makes_a_repeat_the_same_job(self) -> None:
        key = f"py-{uuid.uuid4()}"
        first, again = (
            submit_job.sync_detailed(client=self.client, body=job("py.key"), idempotency_key=key) for _ in range(2)
        )
        self.assertEqual((first.status_code, again.status_code), (202, 200))
        self.assertEqual(first.parsed.id, again.parsed.id)

    def test_a_list_goes_on_by_its_cursor(self) -> None:
        ids = [submit_job.sync(client=self.client, body=job(f"py.page.{n}")).id for n in range(3)]
        seen, cursor = [], None
        while len(seen) < 100:
            more = {} if cursor is None else {"cursor": cursor}
            page = list_jobs.sync(client=self.client, type_="analytics-track", limit=2, **more)
            assert isinstance(page, JobPage), page
            seen += [one.id for one in page.items]
            cursor = page.next_cursor
            if not cursor:
                break
        self.assertEqual([one for one in seen if one in ids], ids[::-1], "newest first, each once")

    def test_a_refusal_is_a_problem_with_a_type(self) -> None:
        unknown = submit_job.sync(client=self.client, body=Submit(type_="py-no-such-type", payload={}))
        assert isinstance(unknown, Problem), unknown
        self.assertEqual((unknown.status, unknown.type_), (422, "urn:usher:problem:unknown-job-type"))
        invalid = submit_job.sync(client=self.client, body=Submit(type_="analytics-track", payload={}))
        self.assertEqual(invalid.type_, "urn:usher:problem:invalid-payload")
        self.assertTrue(invalid.errors)
        stranger = list_jobs.sync(client=Client(base_url=URL))
        self.assertEqual(stranger.type_, "urn:usher:problem:unauthenticated")

    def test_a_service_signs_its_requests(self) -> None:
        made = httpx.post(
            f"{URL}/keys",
            headers={"authorization": f"Bearer {os.environ['USHER_ADMIN']}"},
            json={"name": "py", "tenants": ["t1"], "jobTypes": ["analytics-track"]},
            trust_env=False,
        )
        if made.status_code == 404:
            self.skipTest("this host has no keys of services")
        self.assertEqual(made.status_code, 201, made.text)
        key = made.json()
        service = Client(base_url=URL, httpx_args={"auth": SignatureAuth(key["id"], key["secret"])})
        taken = submit_job.sync(client=service, body=job("py.signed"), idempotency_key=f"py-{uuid.uuid4()}")
        assert isinstance(taken, Job), taken
        self.assertEqual(wait(service, taken.id).submitted_by, f"key/{key['id']}")
        self.assertIsInstance(list_jobs.sync(client=service, type_="analytics-track", limit=1), JobPage)
        forger = Client(base_url=URL, httpx_args={"auth": SignatureAuth(key["id"], "another")})
        self.assertEqual(list_jobs.sync(client=forger).type_, "urn:usher:problem:unauthenticated")


if __name__ == "__main__":
    unittest.main()
