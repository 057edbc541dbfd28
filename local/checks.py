"""Whether the dead letters ended as they must: every check answers what is wrong, or nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .observation import Observation, Sent


def first_round(observation: Observation, all_sent: Sequence[Sent]) -> list[str]:
    """Each dead letter ended as its scenario says, and nobody was called for nothing."""
    problems = [problem for sent in all_sent for problem in named(sent, one_ending(observation, sent))]
    return problems + [f"a call for no dead letter: {call}" for call in observation.stray_calls(all_sent)]


def named(sent: Sent, problems: Sequence[str]) -> list[str]:
    """Problems, each with the dead letter that it is about."""
    return [f"{sent.scenario.name}: {problem}" for problem in problems]


def one_ending(observation: Observation, sent: Sent) -> list[str]:
    """The ending itself, and what the target received on the way."""
    expected = dataclasses.asdict(sent.scenario.ending)
    ending = observation.ending(sent)
    actual = dataclasses.asdict(ending) if ending else {}
    problems = [
        f"{field} is {actual.get(field)!r}, expected {value!r}"
        for field, value in expected.items()
        if actual.get(field) != value
    ]
    return problems + deliveries(observation, sent)


def deliveries(observation: Observation, sent: Sent) -> list[str]:
    """The raw event, byte for byte, and the headers by which a target knows a repetition."""
    problems = []
    calls = observation.deliveries(sent)
    if len(calls) > 1 and calls[1]["at_ms"] - calls[0]["at_ms"] < sent.scenario.pause_seconds * 1000:
        problems.append(f"delivery 2 came sooner than {sent.scenario.pause_seconds} s after the first")
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
    """Every repetition is a duplicate, and its event reached the target no second time."""
    problems = []
    for sent, repeated in zip(first, again, strict=True):
        name = sent.scenario.name
        outcome = after.last_outcome(repeated)
        if outcome != "duplicate":
            problems.append(f"{name}, again: outcome is {outcome!r}, expected 'duplicate'")
        if after.accepted(sent) != before.accepted(sent):
            problems.append(f"{name}, again: the target accepted it {after.accepted(sent)} times in all")
    extra = len(after.calls) - len(before.calls)
    return problems + ([f"{extra} calls were made for events that were finished"] if extra else [])
