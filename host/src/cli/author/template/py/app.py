"""`NAME`: sends one mail."""

import json

from componentize_py_types import Err
from wit_world.imports import email, types


class Handler:
    def process(self, job: types.Job) -> str:
        payload = json.loads(job.payload)
        message = email.Message(
            profile="default",
            to=[payload["email"]],
            subject="Welcome",
            text=f"Hello, {payload['name']}.",
            html=None,
            reply_to=None,
            attachments=[],
        )
        try:
            sent = email.send(message)
        except Err as refused:
            # The same code with the same input would meet it again.
            raise Err(types.Failure_Permanent(str(refused.value))) from refused
        return json.dumps({"messageId": sent.message_id})
