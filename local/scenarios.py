"""The dead letters of the demo: what each is, what is made to go wrong, and how it must end.

One more case is one more `Scenario` in `SCENARIOS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .letters import DeadLetter

Fault = Callable[["Scenario"], dict[str, Any]]


@dataclass(frozen=True)
class Ending:
    """How a dead letter ends, as seen from outside the function."""

    # The outcome of each receive, with its failure code.
    outcomes: tuple[str, ...]
    attempts: int | None = 1
    # What the interaction was asked for and marked with, in order.
    genesys: tuple[str, ...] = ()
    # Answers of the target to its deliveries, in order.
    target: tuple[int, ...] = ()
    ledger: str | None = None
    # Whether its body is in the archive.
    archived: bool = False


@dataclass(frozen=True)
class Scenario:
    """One dead letter and what must become of it."""

    name: str
    file: str
    ending: Ending
    # Where the body names the interaction.
    interaction: str | None = "detail.eventBody.conversationId"
    faults: tuple[Fault, ...] = ()
    # The least time between its first and second delivery.
    pause_seconds: float = 0

    @property
    def letter(self) -> DeadLetter:
        """The message that is sent."""
        return DeadLetter.of(self.file, purpose=self.name)

    @property
    def interaction_id(self) -> str | None:
        """The interaction that is marked."""
        return self.letter.value(self.interaction) if self.interaction else None


def target_answers(status: int, *, times: int | None = None, headers: dict[str, str] | None = None) -> Fault:
    """The target answers this dead letter with `status`, `times` times or always."""
    rule = {"method": "POST", "path_contains": "/targets/", "status": status, "headers": headers or {}}
    return lambda scenario: rule | ({"times": times} if times else {}) | {"body_contains": scenario.letter.event_id}


def genesys_answers(status: int, method: str, *, headers: dict[str, str] | None = None) -> Fault:
    """Genesys Cloud answers calls for this dead letter's interaction with `status`."""
    rule = {"method": method, "status": status, "headers": headers or {}}
    return lambda scenario: rule | {"path_contains": scenario.interaction_id}


REPLAYED = Ending(("replayed",), genesys=("GET", "retrying", "replay_successful"), target=(200,), ledger="COMPLETED")
REPLAYED_UNMARKED = replace(REPLAYED, genesys=())

SCENARIOS = (
    Scenario("retries ran out (six attributes)", "eventbridge-rule-dlq.json", REPLAYED),
    Scenario("failed at once (four attributes)", "eventbridge-rule-dlq-no-retries.json", REPLAYED),
    Scenario("plain event", "plain-event.json", REPLAYED),
    Scenario("tutorial: interactionId", "tutorial-interaction.json", REPLAYED, interaction="interactionId"),
    Scenario("tutorial: detail.interactionId", "tutorial-detail.json", REPLAYED, interaction="detail.interactionId"),
    Scenario("conversation in a queue's topic", "queue-conversation.json", REPLAYED, interaction="detail.eventBody.id"),
    Scenario("audit, no interaction", "audit-event.json", REPLAYED_UNMARKED, interaction=None),
    Scenario("transformed input", "transformed-input.json", REPLAYED_UNMARKED, interaction=None),
    Scenario(
        "target is down once",
        "eventbridge-rule-dlq.json",
        replace(REPLAYED, attempts=2, genesys=("GET", "retrying", "retrying", "replay_successful"), target=(503, 200)),
        faults=(target_answers(503, times=1),),
    ),
    Scenario(
        "target says: retry after 3 s",
        "eventbridge-rule-dlq.json",
        Ending(
            ("deferred TARGET_RATE_LIMITED", "replayed"),
            attempts=2,
            genesys=("GET", "retrying", "GET", "retrying", "replay_successful"),
            target=(429, 200),
            ledger="COMPLETED",
        ),
        faults=(target_answers(429, times=1, headers={"Retry-After": "3"}),),
        pause_seconds=3,
    ),
    Scenario(
        "target stays down",
        "eventbridge-rule-dlq.json",
        # Attempts within one receive while the wait is short; the third receive is the last one here.
        Ending(
            ("deferred TARGET_UNAVAILABLE", "deferred TARGET_UNAVAILABLE", "archived EXHAUSTED"),
            attempts=4,
            genesys=("GET", "retrying", "retrying", "GET", "retrying", "GET", "retrying", "exhausted_retries"),
            target=(503, 503, 503, 503),
            ledger="ARCHIVED",
            archived=True,
        ),
        faults=(target_answers(503),),
    ),
    Scenario(
        "target refuses",
        "eventbridge-rule-dlq.json",
        Ending(
            ("archived TARGET_REFUSED",),
            genesys=("GET", "retrying", "replay_failed"),
            target=(422,),
            ledger="ARCHIVED",
            archived=True,
        ),
        faults=(target_answers(422),),
    ),
    Scenario(
        "interaction does not exist",
        "eventbridge-rule-dlq.json",
        Ending(("archived INTERACTION_NOT_FOUND",), genesys=("GET",), ledger="ARCHIVED", archived=True),
        faults=(genesys_answers(404, "GET"),),
    ),
    Scenario(
        "was malformed the first time",
        "invalid-json.json",
        Ending(("archived PAYLOAD_MALFORMED",), attempts=None, archived=True),
        interaction=None,
    ),
    Scenario(
        "not an event",
        "not-an-event.json",
        Ending(("archived NOT_AN_EVENT",), attempts=None, archived=True),
        interaction=None,
    ),
    Scenario(
        "echo of the function's own mark",
        "own-echo.json",
        Ending(("archived OWN_ECHO",), attempts=None, ledger="ARCHIVED", archived=True),
    ),
)

# Sent after all others, since the function then leaves Genesys Cloud alone; it is in the queue when the demo ends.
WAITING = Scenario(
    "Genesys Cloud says: retry after 10 min",
    "eventbridge-rule-dlq.json",
    Ending(("deferred GENESYS_RATE_LIMITED",), genesys=("GET",), ledger="DEFERRED"),
    faults=(genesys_answers(429, "GET", headers={"Retry-After": "600"}),),
)
