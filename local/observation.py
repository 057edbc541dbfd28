"""What became of the dead letters, seen from outside: in the log, at Genesys Cloud and the target, in the ledger."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .letters import DeadLetter
from .scenarios import Ending, Scenario
from .stack import Stack

TARGETS = "/targets/"


@dataclass(frozen=True)
class Sent:
    """A scenario's dead letter once it is on the queue."""

    scenario: Scenario
    message_id: str

    @property
    def letter(self) -> DeadLetter:
        return self.scenario.letter

    def key(self, stack: Stack) -> str:
        """The event's key: of the ledger's item and of the deliveries."""
        return f"{self.letter.event_id or self.message_id}|{stack.target}"


class Observation:
    """One look at everything that can be seen."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.log_lines = log_lines(stack)
        self.verdicts = verdicts(self.log_lines)
        self.calls = stack.genesys.calls()
        scan = stack.aws.client("dynamodb").scan(TableName=stack.outputs["LedgerTableName"], ConsistentRead=True)
        self.ledger = {item["EventId"]["S"]: item for item in scan["Items"]}
        self.archived_bodies = archived_bodies(stack)

    def last_outcome(self, sent: Sent) -> str | None:
        """The outcome of the latest receive of a message."""
        lines = self.verdicts[sent.message_id]
        return lines[-1]["outcome"] if lines else None

    def deliveries(self, sent: Sent) -> list[dict[str, Any]]:
        """What the target received of an event."""
        key = idempotency_key(sent.key(self.stack))
        return [call for call in self.calls if is_delivery(call) and call["headers"].get("idempotency-key") == key]

    def accepted(self, sent: Sent) -> int:
        """How often the target accepted an event."""
        return sum(200 <= (call["status"] or 0) < 300 for call in self.deliveries(sent))

    def ending(self, sent: Sent) -> Ending | None:
        """How a dead letter ended; None if it was never handled."""
        lines = self.verdicts[sent.message_id]
        if not lines:
            return None
        item = self.ledger.get(sent.key(self.stack))
        return Ending(
            outcomes=tuple(" ".join(filter(None, [line["outcome"], line.get("failure_code")])) for line in lines),
            attempts=lines[-1].get("attempt"),
            genesys=tuple(told(call) for call in self.calls if concerns(call, sent.scenario.interaction_id)),
            target=tuple(call["status"] for call in self.deliveries(sent)),
            ledger=item["Status"]["S"] if item else None,
            archived=sent.letter.body in self.archived_bodies,
        )

    def stray_calls(self, all_sent: Iterable[Sent]) -> list[str]:
        """Calls that belong to no dead letter, other than those for a token."""
        all_sent = list(all_sent)
        keys = {idempotency_key(sent.key(self.stack)) for sent in all_sent}
        interactions = [sent.scenario.interaction_id for sent in all_sent]

        def belongs(call: dict[str, Any]) -> bool:
            if is_delivery(call):
                return call["headers"].get("idempotency-key") in keys
            return call["path"] == "/oauth/token" or any(concerns(call, interaction) for interaction in interactions)

        return [f"{call['method']} {call['path']}" for call in self.calls if not belongs(call)]


def idempotency_key(key: str) -> str:
    """The header's value for an event by its key in the ledger."""
    return hashlib.sha256(key.encode()).hexdigest()


def verdicts(lines: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The function's verdicts by message id, oldest first."""
    found = defaultdict(list)
    for line in lines:
        if line.get("message") == "dead letter handled":
            found[line["message_id"]].append(line)
    return found


def requests(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of ingest's lines that tell how a request was answered."""
    return [line for line in lines if line.get("message") == "request handled"]


def log_events(stack: Stack, group: str = "ReplayLogGroupName") -> list[dict[str, Any]]:
    """What CloudWatch Logs has of a function, by the output that names its group; the platform's own lines too."""
    pages = stack.aws.client("logs").get_paginator("filter_log_events")
    return [event for page in pages.paginate(logGroupName=stack.outputs[group]) for event in page["events"]]


def log_lines(stack: Stack, group: str = "ReplayLogGroupName") -> list[dict[str, Any]]:
    """A function's own log lines from CloudWatch Logs, in order; the platform's are left out."""
    lines = parsed(event["message"] for event in log_events(stack, group))
    return sorted(lines, key=lambda line: line.get("timestamp", ""))


def parsed(messages: Iterable[str]) -> list[dict[str, Any]]:
    """Those of the messages that are JSON, which is what the function writes."""
    return [json.loads(message) for message in messages if message.startswith("{")]


def archived_bodies(stack: Stack) -> list[str]:
    """The messages that were archived."""
    client = stack.aws.client("s3")
    bucket = stack.outputs["ArchiveBucketName"]
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    archived = [json.load(client.get_object(Bucket=bucket, Key=key)["Body"]) for key in keys]
    # What was no text stands there as `body_base64`.
    return [document.get("body") or document["body_base64"] for document in archived]


def is_delivery(call: dict[str, Any]) -> bool:
    return call["path"].startswith(TARGETS)


def concerns(call: dict[str, Any], interaction_id: str | None) -> bool:
    """Whether a call at Genesys Cloud is for this interaction."""
    return interaction_id is not None and interaction_id in call["path"] and not is_delivery(call)


def told(call: dict[str, Any]) -> str:
    """What a call at Genesys Cloud asked or said: its method, or the status it wrote."""
    if call["method"] != "PATCH":
        return call["method"]
    attributes = json.loads(call["body"])["attributes"]
    return attributes.get("system.retryStatus") or attributes["system"]["retryStatus"]
