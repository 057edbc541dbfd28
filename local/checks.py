"""Checks of endings; each returns findings, or an empty list."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .snapshot import Observation, Sent


def first_round(seen: Observation, all_sent: Sequence[Sent]) -> list[str]:
    """Checks that each dead letter ended as expected, and that every call belongs to one."""
    problems = [problem for sent in all_sent for problem in one_ending(seen, sent)]
    return problems + [f"a call that belongs to no dead letter: {call}" for call in seen.stray_calls(all_sent)]


def one_ending(seen: Observation, sent: Sent) -> list[str]:
    """Checks the ending and the deliveries of one dead letter."""
    expected = dataclasses.asdict(sent.scenario.ending)
    ending = seen.ending(sent)
    actual = dataclasses.asdict(ending) if ending else {}
    problems = [
        f"{field} is {actual.get(field)!r}, expected {value!r}"
        for field, value in expected.items()
        if actual.get(field) != value
    ]
    return [f"{sent.scenario.name}: {problem}" for problem in [*problems, *deliveries(seen, sent)]]


def deliveries(seen: Observation, sent: Sent) -> list[str]:
    """Checks that the target received the unchanged raw event and the headers that identify a repetition."""
    problems = []
    calls = seen.deliveries(sent)
    if len(calls) > 1 and calls[1]["at_ms"] - calls[0]["at_ms"] < sent.scenario.delay_seconds * 1000:
        problems.append(f"delivery 2 came sooner than {sent.scenario.delay_seconds} s after the first")
    for number, call in enumerate(calls, start=1):
        if call["body"] != sent.letter.payload:
            problems.append(f"delivery {number} is not the raw event")
        expected = {
            "content-type": "application/json",
            "x-resubmit-source": "genesys-replay",
            "x-attempt-count": str(sent.letter.earlier_attempts + number),
        }
        problems += [
            f"delivery {number} has {name}: {call['headers'].get(name)}, expected {value}"
            for name, value in expected.items()
            if call["headers"].get(name) != value
        ]
    return problems


def second_round(before: Observation, after: Observation, first: Sequence[Sent], again: Sequence[Sent]) -> list[str]:
    """Checks that every repetition is a duplicate and causes no call."""
    problems = []
    for sent, repeated in zip(first, again, strict=True):
        outcome, accepted = after.last_outcome(repeated), after.accepted(sent)
        if outcome != "duplicate" or accepted != 1:
            problems.append(f"{sent.scenario.name}, again: {outcome}, accepted by the target {accepted} times in all")
    extra = len(after.calls) - len(before.calls)
    return problems + ([f"{extra} calls were made for events that were finished"] if extra else [])
