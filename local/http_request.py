"""Requests for ingest: those of events/ingest-*.json, with ids of their own, and what ingest makes of them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .letters import EVENTS, DeadLetter, with_own_ids

# Headers that a sender chooses; the others of a sample are the function URL's.
OWN_HEADERS = ("content-type", "x-genesys-webhook-")


@dataclass(frozen=True)
class HttpRequest:
    """What a sender sends, not yet signed."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    # The id of the sender, by which a repetition is known.
    webhook_id: str

    @classmethod
    def of(cls, file: str, purpose: str) -> HttpRequest:
        """The request of an event file, with ids that no other `purpose` has."""
        sample = json.loads(with_own_ids((EVENTS / file).read_text(), purpose))
        body = sample.get("body", "")
        return cls(
            sample["requestContext"]["http"]["method"],
            sample["rawPath"],
            {name: value for name, value in sample["headers"].items() if name.startswith(OWN_HEADERS)},
            base64.b64decode(body) if sample["isBase64Encoded"] else body.encode(),
            sample["headers"].get("webhook-id") or f"msg_{sample['requestContext']['requestId']}",
        )

    @property
    def subscription_id(self) -> str:
        """The subscription that a dead letter names."""
        return json.loads(self.body)["subscriptionId"]


def is_request(event: Any) -> bool:
    """Whether an event is a request for ingest, not a batch of messages."""
    return isinstance(event, dict) and "http" in event.get("requestContext", {})


@dataclass(frozen=True)
class Ingested(DeadLetter):
    """The message that ingest makes of a request."""

    @classmethod
    def of_request(cls, request: HttpRequest) -> Ingested:
        """With the attribute that the replay function reads; where senders sign, only what is signed counts."""
        return cls(request.body.decode(), {"WebhookId": request.webhook_id})

    @property
    def payload(self) -> str:
        event = self.value("originalEvent")
        # The samples are written like this.
        return self.body if event is None else json.dumps(event, separators=(",", ":"), ensure_ascii=False)

    @property
    def event_id(self) -> str | None:
        own_id = self.value("originalEvent.id")
        content = hashlib.sha256(self.payload.encode()).hexdigest()
        return own_id or f"{self.attributes['WebhookId']}-{content[:16]}"

    @property
    def earlier_attempts(self) -> int:
        return self.value("retryCount") or 0
