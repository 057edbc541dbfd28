"""What the demo prints: plain tables and log lines on stdout."""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from . import metrics
from .observation import Observation, Sent

ENDINGS = [
    *["dead letter", "outcome", "attempts", "Genesys Cloud saw", "target answered", "X-Attempt-Count"],
    *["ledger", "archived"],
]


def heading(text: str, note: str = "") -> None:
    """A title, and below it what the reader has to know of the table that follows."""
    print(f"\n{text}\n{'=' * len(text)}")
    if note:
        print(f"{note.strip()}\n")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as their widest cell, whose text may have several lines."""
    lines = [header, [""] * len(header)]
    for row in rows:
        lines += itertools.zip_longest(*(cell.split("\n") for cell in row), fillvalue="")
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines[1] = ["-" * width for width in widths]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def folded(text: str, width: int) -> str:
    """Free text as a cell of several lines."""
    return "\n".join(textwrap.wrap(text, width)) or "-"


def endings(seen: Observation, all_sent: Iterable[Sent]) -> None:
    """Each dead letter and its ending, a line for each receive."""
    rows = []
    for sent in all_sent:
        ending = seen.ending(sent)
        shown = ["no verdict", "", "", "", "", "", ""]
        if ending is not None:
            attempts = [call["headers"].get("x-attempt-count", "none") for call in seen.deliveries(sent)]
            shown = [
                "\n".join(ending.outcomes),
                str(ending.attempts or "-"),
                " ".join(ending.genesys).replace(" GET", "\nGET") or "-",
                " ".join(map(str, ending.target)) or "-",
                " ".join(attempts) or "-",
                ending.ledger or "-",
                "yes" if ending.archived else "-",
            ]
        rows.append([sent.scenario.name, *shown])
    table(ENDINGS, rows)


def repetitions(observation: Observation, first: Sequence[Sent], again: Sequence[Sent]) -> None:
    """The second round: the same events once more."""
    rows = []
    for sent, repeated in zip(first, again, strict=True):
        how = "new message" if repeated.message_id != sent.message_id else "same message"
        outcome = observation.last_outcome(repeated) or "no verdict"
        rows.append([sent.scenario.name, how, outcome, str(observation.accepted(sent))])
    table(["dead letter, again", "as", "outcome", "accepted by the target, in all"], rows)


def log(lines: Iterable[dict[str, Any]]) -> None:
    """The function's log lines as it wrote them, those that hold only metrics left out."""
    for line in lines:
        if not metrics.is_document(line):
            print(json.dumps(line, ensure_ascii=False))
