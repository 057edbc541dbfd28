"""The traces of dead letters outside the function: log, calls at Genesys Cloud and the target, ledger, archive."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .messages import DeadLetter
from .scenarios import Ending, Scenario
from .stack import Stack


@dataclass(frozen=True)
class Sent:
    """A scenario's dead letter once it is on the queue."""

    scenario: Scenario
    message_id: str

    @property
    def letter(self) -> DeadLetter:
        return self.scenario.letter

    def key(self, stack: Stack) -> str:
        """The event's key in the ledger."""
        return f"{self.letter.event_id or self.message_id}|{stack.target}"

    def idempotency_key(self, stack: Stack) -> str:
        """The event's header at the target."""
        return hashlib.sha256(self.key(stack).encode()).hexdigest()


class Observation:
    """The state of all places at one moment."""

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
        """The calls at the target with an event."""
        key = sent.idempotency_key(self.stack)
        return [call for call in self.calls if is_delivery(call) and call["headers"].get("idempotency-key") == key]

    def accepted(self, sent: Sent) -> int:
        """The number of deliveries that the target accepted."""
        return sum(200 <= (call["status"] or 0) < 300 for call in self.deliveries(sent))

    def ending(self, sent: Sent) -> Ending | None:
        """The ending of a dead letter; None before its first receive ends."""
        lines = self.verdicts[sent.message_id]
        if not lines:
            return None
        item = self.ledger.get(sent.key(self.stack))
        return Ending(
            outcomes=tuple(" ".join(filter(None, [line["outcome"], line.get("failure_code")])) for line in lines),
            attempts=lines[-1].get("attempt"),
            genesys=tuple(purpose(call) for call in self.calls if concerns(call, sent.scenario.interaction_id)),
            target=tuple(call["status"] for call in self.deliveries(sent)),
            ledger=item["Status"]["S"] if item else None,
            archived=sent.letter.body in self.archived_bodies,
        )

    def stray_calls(self, all_sent: Sequence[Sent]) -> list[str]:
        """Calls that belong to no dead letter and are not for a token."""
        keys = {sent.idempotency_key(self.stack) for sent in all_sent}
        interactions = [sent.scenario.interaction_id for sent in all_sent]

        def belongs(call: dict[str, Any]) -> bool:
            if is_delivery(call):
                return call["headers"].get("idempotency-key") in keys
            return call["path"] == "/oauth/token" or any(concerns(call, interaction) for interaction in interactions)

        return [f"{call['method']} {call['path']}" for call in self.calls if not belongs(call)]


def verdicts(lines: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The function's lines about records, by message id, oldest first."""
    found = defaultdict(list)
    for line in lines:
        if line.get("message") == "dead letter handled":
            found[line["message_id"]].append(line)
    return found


def requests(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of ingest about requests."""
    return [line for line in lines if line.get("message") == "request handled"]


def log_lines(stack: Stack, group: str = "ReplayLogGroupName") -> list[dict[str, Any]]:
    """A function's own lines in CloudWatch Logs, in order, by the output that names the log group."""
    pages = stack.aws.client("logs").get_paginator("filter_log_events").paginate(logGroupName=stack.outputs[group])
    lines = parsed(event["message"] for page in pages for event in page["events"])
    return sorted(lines, key=lambda line: line.get("timestamp", ""))


def parsed(messages: Iterable[str]) -> list[dict[str, Any]]:
    """The lines in JSON; the others are the platform's."""
    return [json.loads(message) for message in messages if message.startswith("{")]


def archived_bodies(stack: Stack) -> list[str]:
    """The bodies of the archived messages; in base64 if they are not text."""
    client, bucket = stack.aws.client("s3"), stack.outputs["ArchiveBucketName"]
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    archived = [json.load(client.get_object(Bucket=bucket, Key=key)["Body"]) for key in keys]
    return [document.get("body") or document["body_base64"] for document in archived]


def is_delivery(call: dict[str, Any]) -> bool:
    return call["path"].startswith("/targets/")


def concerns(call: dict[str, Any], interaction_id: str | None) -> bool:
    """True for a call at Genesys Cloud for this interaction."""
    return interaction_id is not None and interaction_id in call["path"] and not is_delivery(call)


def purpose(call: dict[str, Any]) -> str:
    """The method of a call at Genesys Cloud; of a PATCH, the retry status that it writes."""
    if call["method"] != "PATCH":
        return call["method"]
    attributes = json.loads(call["body"])["attributes"]
    return attributes.get("system.retryStatus") or attributes["system"]["retryStatus"]
