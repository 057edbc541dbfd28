"""Dead letters: messages of events/*.json with new ids, so that each is a different event."""

from __future__ import annotations

import json
import pathlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EVENTS = pathlib.Path(__file__).resolve().parent.parent / "events"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def with_own_ids(text: str, purpose: str) -> str:
    """The text with UUIDs that no other `purpose` has."""
    names = uuid.uuid5(uuid.NAMESPACE_OID, purpose)
    return UUID.sub(lambda found: str(uuid.uuid5(names, found.group())), text)


@dataclass(frozen=True)
class DeadLetter:
    """The raw body and the attributes of a message."""

    body: str
    attributes: Mapping[str, str]

    @classmethod
    def of(cls, file: str, purpose: str) -> DeadLetter:
        """The first message of an event file, with ids that no other `purpose` has."""
        [record, *_] = json.loads((EVENTS / file).read_text())["Records"]
        body = with_own_ids(record["body"], purpose)
        return cls(body, {name: value["stringValue"] for name, value in record["messageAttributes"].items()})

    def value(self, path: str) -> Any:
        """A member of the body, such as `detail.eventBody.conversationId`, or None."""
        try:
            found = json.loads(self.body)
            for name in path.split("."):
                found = found[name]
        except (ValueError, KeyError, TypeError):
            return None
        return found

    @property
    def payload(self) -> str:
        """The body of the deliveries."""
        return self.body

    @property
    def event_id(self) -> str | None:
        """The event's own id; only a whole event has one."""
        return self.value("id") if self.value("detail-type") else None

    @property
    def earlier_attempts(self) -> int:
        """The attempts of EventBridge."""
        return int(self.attributes.get("RETRY_ATTEMPTS", 0))

    def message_attributes(self, *, camel_case: bool = False) -> dict[str, dict[str, str]]:
        """The attributes as SQS has them, or in camel case as Lambda has them."""
        kind, text = ("dataType", "stringValue") if camel_case else ("DataType", "StringValue")
        return {name: {kind: "String", text: value} for name, value in self.attributes.items()}
