"""The requests of the demo: what each is, how it must be answered, and what must become of what it brings.

One more case is one more `Exchange` in `TO_SERVER` or `TO_FUNCTION`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from . import signature
from .http_request import HttpRequest, Ingested
from .scenarios import REPLAYED, REPLAYED_UNMARKED, Ending, Fault, Scenario

Change = Callable[[HttpRequest], HttpRequest]
# The headers by which somebody proves who sends, at a time in seconds since the epoch.
Proof = Callable[[HttpRequest, int], dict[str, str]]

NOT_QUEUED = Ending(())


def signed(request: HttpRequest, now: int) -> dict[str, str]:
    return signature.headers(request.webhook_id, request.body, now)


def signed_by_a_stranger(request: HttpRequest, now: int) -> dict[str, str]:
    return signature.headers(request.webhook_id, request.body, now, signature.new_secret())


def signed_an_hour_ago(request: HttpRequest, now: int) -> dict[str, str]:
    return signed(request, now - 3600)


def not_signed(_request: HttpRequest, _now: int) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Exchange(Scenario):
    """A request, its answer, and how the dead letter ends that ingest makes of it."""

    ending: Ending = NOT_QUEUED
    status: int = 200
    # Of an answer that is a problem.
    code: str | None = None
    proof: Proof = signed
    change: Change = lambda request: request
    interaction: str | None = None
    # The name of another one that is sent again with this.
    repeats: str | None = None
    # What the stand-in Genesys Cloud says of the subscription.
    subscription: str = "ACTIVE"

    @functools.cached_property
    def request(self) -> HttpRequest:
        """What is sent."""
        return self.change(HttpRequest.of(self.file, purpose=self.repeats or self.name))

    @property
    def letter(self) -> Ingested:
        return Ingested.of_request(self.request)

    @property
    def is_accepted(self) -> bool:
        """Whether it is to be put on the queue."""
        return self.code is None


def cut_off(request: HttpRequest) -> HttpRequest:
    return replace(request, body=request.body[: len(request.body) // 2])


def too_large(request: HttpRequest) -> HttpRequest:
    return replace(request, body=request.body.ljust(2 << 20))


def without_retry_count(request: HttpRequest) -> HttpRequest:
    return replace(request, body=request.body.replace(b'"retryCount":2', b'"retryCount":"two"'))


def genesys_cannot_say(scenario: Any) -> dict[str, Any]:
    """Genesys Cloud has no answer about the subscription."""
    return {"method": "GET", "path_contains": scenario.request.subscription_id, "status": 503}


DEAD_LETTER = "ingest-dead-letter.json"
WEBHOOK = "ingest-webhook.json"
CONVERSATION = "originalEvent.detail.eventBody.conversationId"
UNAVAILABLE: tuple[Fault, ...] = (genesys_cannot_say,)

# To ingest as a server of its own.
TO_SERVER = (
    Exchange("dead letter", DEAD_LETTER, REPLAYED, interaction=CONVERSATION),
    Exchange("webhook", WEBHOOK, REPLAYED_UNMARKED),
    Exchange(
        "webhook that is cut off",
        WEBHOOK,
        Ending(("archived NOT_AN_EVENT",), attempts=None, archived=True),
        change=cut_off,
    ),
    Exchange(
        "the same webhook again",
        WEBHOOK,
        replace(REPLAYED_UNMARKED, outcomes=("duplicate",), attempts=None),
        repeats="webhook",
    ),
    Exchange("not signed", DEAD_LETTER, status=401, code="INGEST_NOT_AUTHENTICATED", proof=not_signed),
    Exchange(
        "signed with another secret",
        DEAD_LETTER,
        status=401,
        code="INGEST_NOT_AUTHENTICATED",
        proof=signed_by_a_stranger,
    ),
    Exchange("signed an hour ago", DEAD_LETTER, status=401, code="INGEST_NOT_AUTHENTICATED", proof=signed_an_hour_ago),
    Exchange(
        "of an inactive subscription",
        DEAD_LETTER,
        status=403,
        code="INGEST_SUBSCRIPTION_REFUSED",
        subscription="INACTIVE",
    ),
    Exchange("retryCount is a text", DEAD_LETTER, status=400, code="INGEST_BODY_MALFORMED", change=without_retry_count),
    Exchange("without an event", "ingest-dead-letter-empty.json", status=422, code="INGEST_EVENT_EMPTY"),
    Exchange("GET", "ingest-wrong-method.json", status=405, code="INGEST_METHOD", proof=not_signed),
    Exchange("2 MiB", DEAD_LETTER, status=413, code="INGEST_BODY_TOO_LARGE", change=too_large),
    Exchange(
        "Genesys Cloud cannot say",
        DEAD_LETTER,
        status=503,
        code="INGEST_GENESYS_UNAVAILABLE",
        faults=UNAVAILABLE,
    ),
)

# To the deployed function, through its URL.
TO_FUNCTION = (
    Exchange("dead letter, to the function", DEAD_LETTER, REPLAYED, interaction=CONVERSATION),
    Exchange("not signed, to the function", DEAD_LETTER, status=401, code="INGEST_NOT_AUTHENTICATED", proof=not_signed),
)
