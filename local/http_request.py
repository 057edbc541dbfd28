"""Requests for ingest: those of events/ingest-*.json with new ids, and the dead letters that ingest makes of them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import secrets
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from . import processes
from .messages import EVENTS, DeadLetter, with_own_ids

# Headers of the sender; the others of a sample are the function URL's.
OWN_HEADERS = ("content-type", "x-genesys-webhook-")
# Longer than the slowest answer of ingest.
TIMEOUT_SECONDS = 60


def new_secret() -> str:
    """A secret of Standard Webhooks."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


# The secret of senders and ingest in this run.
SECRET = new_secret()


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Message
    body: str


@dataclass(frozen=True)
class HttpRequest:
    """A request without its signature."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    # The sender's id, the same in a repetition.
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

    def signature(self, at: int, secret: str = SECRET) -> dict[str, str]:
        """The headers of Standard Webhooks, signed `at` seconds since the epoch."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        digest = hmac.digest(key, f"{self.webhook_id}.{at}.".encode() + self.body, hashlib.sha256)
        return {
            "webhook-id": self.webhook_id,
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }

    def send(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Sends the request with more headers to its path below `url`.

        Not with urllib, because urllib drops an answer that comes before the end of the body.
        """
        parts = urllib.parse.urlsplit(f"{url}{self.path}")
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
        try:
            with contextlib.closing(connection):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(self.method, parts.path, self.body or None, {**self.headers, **headers})
                answer = connection.getresponse()
                return Answer(answer.status, answer.headers, answer.read().decode())
        except (http.client.HTTPException, OSError) as error:
            raise processes.StackError(f"{url}: {error}") from None


def is_request(event: Any) -> bool:
    """True for a request for ingest, false for a batch of messages."""
    return isinstance(event, dict) and "http" in event.get("requestContext", {})


@dataclass(frozen=True)
class Ingested(DeadLetter):
    """The message that ingest makes of a request."""

    @classmethod
    def of_request(cls, request: HttpRequest) -> Ingested:
        """With the attribute that the replay function reads."""
        return cls(request.body.decode(), {"WebhookId": request.webhook_id})

    @property
    def payload(self) -> str:
        event = self.value("originalEvent")
        # The samples are written with these separators.
        return self.body if event is None else json.dumps(event, separators=(",", ":"), ensure_ascii=False)

    @property
    def event_id(self) -> str | None:
        content = hashlib.sha256(self.payload.encode()).hexdigest()
        return self.value("originalEvent.id") or f"{self.attributes['WebhookId']}-{content[:16]}"

    @property
    def earlier_attempts(self) -> int:
        return self.value("retryCount") or 0
