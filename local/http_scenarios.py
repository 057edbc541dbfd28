"""The requests of the demo, with the expected answers and the expected endings of their dead letters.

A new case is a new `Exchange` in `TO_SERVER` or `TO_FUNCTION`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .http_request import HttpRequest, Ingested, new_secret
from .scenarios import REPLAYED, REPLAYED_UNMARKED, Ending, Scenario, archived


@dataclass(frozen=True)
class Exchange(Scenario):
    """A request, its answer, and the ending of the dead letter that ingest makes of it."""

    # A refused request ends here.
    ending: Ending | None = None
    status: int = 200
    # The failure code of an answer that is a problem.
    code: str | None = None
    # The headers of a signature, at a time in seconds since the epoch.
    sign: Callable[[HttpRequest, int], dict[str, str]] = HttpRequest.signature
    change: Callable[[bytes], bytes] = lambda body: body
    # The name of another exchange that is sent again with this one.
    repeats: str | None = None
    # The status of the subscription at the stand-in Genesys Cloud.
    subscription: str = "ACTIVE"

    @functools.cached_property
    def request(self) -> HttpRequest:
        request = HttpRequest.of(self.file, purpose=self.repeats or self.name)
        return replace(request, body=self.change(request.body))

    @property
    def letter(self) -> Ingested:
        return Ingested.of_request(self.request)

    @property
    def subscription_id(self) -> str:
        return json.loads(self.request.body)["subscriptionId"]


def not_signed(_request: HttpRequest, _now: int) -> dict[str, str]:
    return {}


def genesys_is_down(exchange: Any) -> dict[str, Any]:
    """The subscription's status cannot be read from Genesys Cloud."""
    return {"method": "GET", "path_contains": exchange.subscription_id, "status": 503}


DEAD_LETTER, WEBHOOK = "ingest-dead-letter.json", "ingest-webhook.json"
CONVERSATION = "originalEvent.detail.eventBody.conversationId"
NOT_AN_EVENT = archived("NOT_AN_EVENT", attempts=None, ledger=None)
DUPLICATE = replace(REPLAYED_UNMARKED, outcomes=("duplicate",), attempts=None)
Refused = functools.partial(Exchange, file=DEAD_LETTER)
NotAuthenticated = functools.partial(Refused, status=401, code="INGEST_NOT_AUTHENTICATED")

# To ingest as a server.
TO_SERVER = (
    Exchange("dead letter", DEAD_LETTER, REPLAYED, interaction=CONVERSATION),
    Exchange("webhook", WEBHOOK, REPLAYED_UNMARKED),
    Exchange("webhook that is cut off", WEBHOOK, NOT_AN_EVENT, change=lambda body: body[: len(body) // 2]),
    Exchange("the same webhook again", WEBHOOK, DUPLICATE, repeats="webhook"),
    NotAuthenticated("not signed", sign=not_signed),
    NotAuthenticated("signed with another secret", sign=lambda request, now: request.signature(now, new_secret())),
    NotAuthenticated("signed an hour ago", sign=lambda request, now: request.signature(now - 3600)),
    Refused("of an inactive subscription", status=403, code="INGEST_SUBSCRIPTION_REFUSED", subscription="INACTIVE"),
    Refused(
        "retryCount is a text",
        status=400,
        code="INGEST_BODY_MALFORMED",
        change=lambda body: body.replace(b'"retryCount":2', b'"retryCount":"two"'),
    ),
    Refused("without an event", file="ingest-dead-letter-empty.json", status=422, code="INGEST_EVENT_EMPTY"),
    Refused("GET", file="ingest-wrong-method.json", status=405, code="INGEST_METHOD", sign=not_signed),
    Refused("2 MiB", status=413, code="INGEST_BODY_TOO_LARGE", change=lambda body: body.ljust(2 << 20)),
    Refused("Genesys Cloud is down", status=503, code="INGEST_GENESYS_UNAVAILABLE", faults=(genesys_is_down,)),
)

# To the deployed function, through its URL.
TO_FUNCTION = (
    Exchange("dead letter, to the function", DEAD_LETTER, REPLAYED, interaction=CONVERSATION),
    NotAuthenticated("not signed, to the function", sign=not_signed),
)
