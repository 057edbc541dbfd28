"""The dead letters of the demo, with their faults and their expected endings.

A new case is a new `Scenario` in `SCENARIOS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .messages import DeadLetter

Fault = Callable[["Scenario"], dict[str, Any]]


@dataclass(frozen=True)
class Ending:
    """The ending of a dead letter, as seen from outside the function."""

    # The outcome of each receive, with its failure code.
    outcomes: tuple[str, ...]
    attempts: int | None = 1
    # The calls for the interaction, in order; of a PATCH, the retry status.
    genesys: tuple[str, ...] = ()
    # The statuses of the target's answers, in order.
    target: tuple[int, ...] = ()
    ledger: str | None = None
    archived: bool = False


@dataclass(frozen=True)
class Scenario:
    """One dead letter and its expected ending."""

    name: str
    file: str
    ending: Ending
    # The path of the interaction's id in the body.
    interaction: str = "detail.eventBody.conversationId"
    faults: tuple[Fault, ...] = ()
    # The minimum between its first and second delivery.
    delay_seconds: float = 0

    @property
    def letter(self) -> DeadLetter:
        """The message that is sent."""
        return DeadLetter.of(self.file, purpose=self.name)

    @property
    def interaction_id(self) -> str | None:
        """The interaction that is marked; None if the body names none."""
        return self.letter.value(self.interaction)


def target_answers(status: int, **more: Any) -> Fault:
    """The target answers this dead letter with `status`; `times` limits how often."""
    rule = {"method": "POST", "path_contains": "/targets/", "status": status, **more}
    return lambda scenario: {**rule, "body_contains": scenario.letter.event_id}


def genesys_answers(status: int, **more: Any) -> Fault:
    """Genesys Cloud answers the GET of this dead letter's interaction with `status`."""
    return lambda scenario: {"method": "GET", "status": status, "path_contains": scenario.interaction_id, **more}


def archived(code: str, **more: Any) -> Ending:
    """Rejected and archived in its last receive."""
    return replace(Ending((f"archived {code}",), ledger="ARCHIVED", archived=True), **more)


RULE = "eventbridge-rule-dlq.json"
REPLAYED = Ending(("replayed",), genesys=("GET", "retrying", "replay_successful"), target=(200,), ledger="COMPLETED")
REPLAYED_UNMARKED = replace(REPLAYED, genesys=())

SCENARIOS = (
    Scenario("retries ran out (six attributes)", RULE, REPLAYED),
    Scenario("failed at once (four attributes)", "eventbridge-rule-dlq-no-retries.json", REPLAYED),
    Scenario("plain event", "plain-event.json", REPLAYED),
    Scenario("tutorial: interactionId", "tutorial-interaction.json", REPLAYED, interaction="interactionId"),
    Scenario("tutorial: detail.interactionId", "tutorial-detail.json", REPLAYED, interaction="detail.interactionId"),
    Scenario("conversation in a queue's topic", "queue-conversation.json", REPLAYED, interaction="detail.eventBody.id"),
    Scenario("audit, no interaction", "audit-event.json", REPLAYED_UNMARKED),
    Scenario("transformed input", "transformed-input.json", REPLAYED_UNMARKED),
    Scenario(
        "target is down once",
        RULE,
        replace(REPLAYED, attempts=2, genesys=("GET", "retrying", "retrying", "replay_successful"), target=(503, 200)),
        faults=(target_answers(503, times=1),),
    ),
    Scenario(
        "target sends Retry-After 3 s",
        RULE,
        Ending(
            ("deferred TARGET_RATE_LIMITED", "replayed"),
            attempts=2,
            genesys=("GET", "retrying", "GET", "retrying", "replay_successful"),
            target=(429, 200),
            ledger="COMPLETED",
        ),
        faults=(target_answers(429, times=1, headers={"Retry-After": "3"}),),
        delay_seconds=3,
    ),
    Scenario(
        "target stays down",
        RULE,
        # Two attempts in the first receive, because the delay is short; here, the third receive is the last.
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
        RULE,
        archived("TARGET_REFUSED", genesys=("GET", "retrying", "replay_failed"), target=(422,)),
        faults=(target_answers(422),),
    ),
    Scenario(
        "interaction does not exist",
        RULE,
        archived("INTERACTION_NOT_FOUND", genesys=("GET",)),
        faults=(genesys_answers(404),),
    ),
    # Without a claim in the ledger, because the body decides.
    Scenario(
        "first delivery malformed",
        "invalid-json.json",
        archived("PAYLOAD_MALFORMED", attempts=None, ledger=None),
    ),
    Scenario("not an event", "not-an-event.json", archived("NOT_AN_EVENT", attempts=None, ledger=None)),
    Scenario("echo of our own PATCH", "own-echo.json", archived("OWN_ECHO", attempts=None)),
)

# Sent after all others, because the circuit of Genesys Cloud is open then. It is in the queue when the demo ends.
WAITING = Scenario(
    "Genesys Cloud sends Retry-After 10 min",
    RULE,
    Ending(("deferred GENESYS_RATE_LIMITED",), genesys=("GET",), ledger="DEFERRED"),
    faults=(genesys_answers(429, headers={"Retry-After": "600"}),),
)
