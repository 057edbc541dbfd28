"""Sends dead letters to the function: through the queue, or directly, because SQS may deliver a message twice."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import processes
from .scenarios import Scenario
from .snapshot import Observation, Sent, log_lines, verdicts
from .stack import Stack

# The maximum of SendMessageBatch.
MAX_BATCH_ENTRIES = 10
# The slowest ending takes some 10 s, mostly in the queue. The rest is for a slow machine.
HANDLED_WITHIN_SECONDS = 90


def send(stack: Stack, scenarios: Iterable[Scenario]) -> list[Sent]:
    """Puts dead letters on the queue, as EventBridge does."""
    client = stack.aws.client("sqs")
    remaining = iter(scenarios)
    sent = []
    while batch := list(itertools.islice(remaining, MAX_BATCH_ENTRIES)):
        letters = enumerate(scenario.letter for scenario in batch)
        entries = [
            {"Id": str(index), "MessageBody": letter.body, "MessageAttributes": letter.message_attributes()}
            for index, letter in letters
        ]
        answer = client.send_message_batch(QueueUrl=stack.outputs["DeadLetterQueueUrl"], Entries=entries)
        if answer.get("Failed"):
            raise processes.StackError(f"the queue refused {answer['Failed']}")
        ids = {entry["Id"]: entry["MessageId"] for entry in answer["Successful"]}
        sent += [Sent(scenario, ids[str(index)]) for index, scenario in enumerate(batch)]
    return sent


def until_handled(stack: Stack, sent: Iterable[Sent]) -> Observation:
    """Waits for the last receive of each dead letter."""
    until_logged(stack, {one.message_id: len(one.scenario.ending.outcomes) for one in sent})
    return Observation(stack)


def until_logged(stack: Stack, receives: Mapping[str, int]) -> None:
    """Waits until the log has a line for each receive of each message id. Reports a missed deadline and returns."""

    def all_handled() -> bool | None:
        seen = verdicts(log_lines(stack))
        return all(len(seen[message_id]) >= count for message_id, count in receives.items()) or None

    try:
        processes.wait_for("verdicts on all dead letters", all_handled, seconds=HANDLED_WITHIN_SECONDS)
    except processes.StackError as error:
        processes.say(f"{error}{processes.excerpt(stack.directory / 'ministack.log')}")


def deliver_once_more(stack: Stack, sent: Sequence[Sent]) -> dict[str, Any]:
    """Invokes the function with finished messages under the same ids, and returns its answer."""
    records = [
        {
            "messageId": one.message_id,
            "receiptHandle": "delivered-once-more",
            "body": one.letter.body,
            "attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": str(int(time.time() * 1000))},
            "messageAttributes": one.letter.message_attributes(camel_case=True),
            "eventSourceARN": stack.outputs["DeadLetterQueueArn"],
        }
        for one in sent
    ]
    function, payload = stack.outputs["ReplayFunctionName"], json.dumps({"Records": records})
    return json.load(stack.aws.client("lambda").invoke(FunctionName=function, Payload=payload)["Payload"])
