"""The output of the demo: plain tables and log lines on stdout."""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from . import metrics
from .snapshot import Observation, Sent


def heading(text: str, note: str = "") -> None:
    """A title, and an explanation of the table below it."""
    print(f"\n{text}\n{'=' * len(text)}")
    if note:
        print(f"{note}\n")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints columns as wide as their widest cell. A cell may have several lines."""
    lines = [header, [""] * len(header)]
    for row in rows:
        lines += itertools.zip_longest(*(cell.split("\n") for cell in row), fillvalue="")
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines[1] = ["-" * width for width in widths]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), flush=True)


def folded(text: str, width: int) -> str:
    """Free text as a cell of several lines."""
    return "\n".join(textwrap.wrap(text, width)) or "-"


def endings(seen: Observation, all_sent: Iterable[Sent]) -> None:
    """Prints each dead letter and its ending, one line a receive."""
    columns = ["outcome", "attempts", "Genesys API calls", "target answered", "X-Attempt-Count", "ledger", "archived"]
    rows = []
    for sent in all_sent:
        ending = seen.ending(sent)
        shown = ["not handled"] + [""] * 6
        if ending is not None:
            attempts = [call["headers"].get("x-attempt-count", "none") for call in seen.deliveries(sent)]
            cells = [
                "\n".join(ending.outcomes),
                str(ending.attempts or ""),
                " ".join(ending.genesys).replace(" GET", "\nGET"),
                " ".join(map(str, ending.target)),
                " ".join(attempts),
                ending.ledger,
                "yes" if ending.archived else "",
            ]
            shown = [cell or "-" for cell in cells]
        rows.append([sent.scenario.name, *shown])
    table(["dead letter", *columns], rows)


def repetitions(seen: Observation, first: Sequence[Sent], again: Sequence[Sent]) -> None:
    """Prints the repetitions of events."""
    rows = []
    for sent, repeated in zip(first, again, strict=True):
        kind = "new message" if repeated.message_id != sent.message_id else "same message"
        rows.append([sent.scenario.name, kind, seen.last_outcome(repeated) or "not handled", str(seen.accepted(sent))])
    table(["dead letter, again", "as", "outcome", "accepted by the target, in all"], rows)


def log(lines: Iterable[dict[str, Any]]) -> None:
    """Log lines without the EMF documents."""
    for line in lines:
        if not metrics.is_document(line):
            print(json.dumps(line, ensure_ascii=False))
