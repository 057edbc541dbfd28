"""How dead letters reach the function: through the queue, or once more, as SQS may deliver a message twice."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import processes
from .observation import Observation, Sent, log_lines, verdicts
from .scenarios import Scenario
from .stack import Stack

# The most entries of one SendMessageBatch.
BATCH = 10
# The longest way to an ending takes some 10 s, most of them in the queue; the rest is for a slow machine.
HANDLED_WITHIN_SECONDS = 90


def send(stack: Stack, scenarios: Iterable[Scenario]) -> list[Sent]:
    """Puts dead letters on the queue, as EventBridge does."""
    client = stack.aws.client("sqs")
    remaining = iter(scenarios)
    sent = []
    while batch := list(itertools.islice(remaining, BATCH)):
        entries = [
            {
                "Id": str(index),
                "MessageBody": scenario.letter.body,
                "MessageAttributes": scenario.letter.message_attributes(),
            }
            for index, scenario in enumerate(batch)
        ]
        answer = client.send_message_batch(QueueUrl=stack.outputs["DeadLetterQueueUrl"], Entries=entries)
        if answer.get("Failed"):
            raise processes.StackError(f"the queue refused {answer['Failed']}")
        ids = {entry["Id"]: entry["MessageId"] for entry in answer["Successful"]}
        sent += [Sent(scenario, ids[str(index)]) for index, scenario in enumerate(batch)]
    return sent


def until_handled(stack: Stack, times: Mapping[str, int]) -> Observation:
    """Waits until the log has a verdict on every receive of each message id; at the deadline, what there is."""

    def all_handled() -> bool | None:
        seen = verdicts(log_lines(stack))
        return all(len(seen[message_id]) >= count for message_id, count in times.items()) or None

    try:
        processes.wait_for("verdicts on all dead letters", all_handled, seconds=HANDLED_WITHIN_SECONDS)
    except processes.StackError as error:
        processes.say(f"{error}{processes.excerpt(stack.directory / 'ministack.log')}")
    return Observation(stack)


def deliver_once_more(stack: Stack, sent: Sequence[Sent]) -> dict[str, Any]:
    """Hands messages to the function directly, a second time and under the same ids; returns its answer."""
    answer = stack.aws.client("lambda").invoke(
        FunctionName=stack.outputs["ReplayFunctionName"],
        Payload=json.dumps({"Records": [record(stack, one) for one in sent]}),
    )
    return json.load(answer["Payload"])


def record(stack: Stack, sent: Sent) -> dict[str, Any]:
    """A message as Lambda hands it over."""
    now = str(int(time.time() * 1000))
    return {
        "messageId": sent.message_id,
        "receiptHandle": "delivered-once-more",
        "body": sent.letter.body,
        "attributes": {
            "ApproximateReceiveCount": "2",
            "SentTimestamp": now,
            "SenderId": "local",
            "ApproximateFirstReceiveTimestamp": now,
        },
        "messageAttributes": sent.letter.message_attributes(camel_case=True),
        "md5OfBody": hashlib.md5(sent.letter.body.encode()).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": stack.outputs["DeadLetterQueueArn"],
        "awsRegion": "us-east-1",
    }
