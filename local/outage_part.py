"""The outage part of the demo: the target is down, the circuit opens, the target is repaired, and all is delivered."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from typing import Any

from . import driver, processes, report, snapshot, stack
from .scenarios import REPLAYED_UNMARKED, Scenario, target_answers
from .snapshot import Observation, Sent

# More than the five failures that open the circuit.
DEAD_LETTERS = 8
# The circuit stays open for 30 s, and the rate rises for 30 s. The rest is for a slow machine.
DELIVERED_WITHIN_SECONDS = 180

SCENARIOS = tuple(
    Scenario(f"outage, {number}", "audit-event.json", REPLAYED_UNMARKED, faults=(target_answers(503),))
    for number in range(1, DEAD_LETTERS + 1)
)


def play(local: stack.Stack) -> tuple[stack.Stack, list[Sent], list[str]]:
    """Plays the outage, prints its course; returns the updated stack, the dead letters, and findings."""
    processes.say("deploying with MaxReceives=200, the default, and breaking the target ...")
    local = local.deploy(stack.STACK_NAME, MaxReceives="200")
    for scenario in SCENARIOS:
        for fault in scenario.faults:
            local.genesys.add_fault(fault(scenario))
    began = datetime.datetime.now(datetime.UTC)
    sent = driver.send(local, SCENARIOS)
    ids = {one.message_id for one in sent}

    def circuit_is_open() -> bool | None:
        lines = about(local, ids, began)
        return any(line.get("failure_code") == "BREAKER_OPEN" for line in lines) or None

    processes.wait_for("an open circuit", circuit_is_open, seconds=driver.HANDLED_WITHIN_SECONDS)
    processes.say("repairing the target; the circuit stays open for 30 s, then one event is the probe ...")
    local.genesys.clear_faults()
    repaired = datetime.datetime.now(datetime.UTC)

    def all_replayed() -> bool | None:
        lines = about(local, ids, began)
        return sum(line.get("outcome") == "replayed" for line in lines) >= len(ids) or None

    processes.wait_for("deliveries after the outage", all_replayed, seconds=DELIVERED_WITHIN_SECONDS)
    report.heading("An outage that ends in delivery", "The target answered 503 until second 0.")
    report.table(["second", "outcome or circuit", "dead letters"], course(about(local, ids, began), repaired))
    seen = Observation(local)
    problems = [
        f"{one.scenario.name}: accepted {seen.accepted(one)} times, last outcome {seen.last_outcome(one)}"
        for one in sent
        if (seen.accepted(one), seen.last_outcome(one)) != (1, "replayed")
    ]
    return local, sent, problems


def about(local: stack.Stack, ids: set[str], began: datetime.datetime) -> list[dict[str, Any]]:
    """The lines about these messages, and those about circuits since the outage began."""

    def concerns(line: dict[str, Any]) -> bool:
        return line.get("message_id") in ids or ("upstream" in line and time_of(line) >= began)

    return [line for line in snapshot.log_lines(local) if concerns(line)]


def time_of(line: dict[str, Any]) -> datetime.datetime:
    """The time of a log line."""
    return datetime.datetime.fromisoformat(line["timestamp"])


def course(lines: Iterable[dict[str, Any]], repaired: datetime.datetime) -> list[tuple[str, str, str]]:
    """The receives and the states of the circuit by second, counted from the repair."""
    counts: Counter[tuple[int, str]] = Counter()
    for line in lines:
        second = round((time_of(line) - repaired).total_seconds())
        is_receive = line["message"] == "dead letter handled"
        names = [line.get("outcome"), line.get("failure_code")] if is_receive else [line["message"]]
        if is_receive or "circuit" in line["message"]:
            counts[second, " ".join(filter(None, names))] += is_receive
    return [(str(second), name, str(count or "")) for (second, name), count in sorted(counts.items())]
