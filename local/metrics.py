"""The functions' metrics: the sums of their EMF documents must be the counts of their own log lines.

In AWS, CloudWatch Logs extracts the metrics from these documents. The local AWS does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

# The metric of each outcome.
OUTCOMES = {
    "replayed": "Replayed",
    "duplicate": "Duplicates",
    "archived": "Archived",
    "deferred": "Deferred",
    "returned": "Returned",
    "not_attempted": "NotAttempted",
}


def is_document(line: Mapping[str, Any]) -> bool:
    """True for a log line that is an EMF document."""
    return "_aws" in line


def sums(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """The sum of each metric, without the documents that count one category only."""
    found: Counter[str] = Counter()
    for line in filter(is_document, lines):
        for directive in line["_aws"]["CloudWatchMetrics"]:
            if not any("Category" in names for names in directive["Dimensions"]):
                for name in (definition["Name"] for definition in directive["Metrics"]):
                    found[name] += sum(line[name]) if isinstance(line[name], list) else line[name]
    return found


def expected(lines: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The metrics, counted from the lines about records and requests."""
    counts: Counter[str] = Counter()
    for line in lines:
        if line.get("message") == "dead letter handled":
            counts.update(["Records", OUTCOMES[line["outcome"]]])
        elif line.get("message") == "request handled":
            counts.update(["Requests", answer(line["status"])])
    return counts


def answer(status: int) -> str:
    """The metric of an answer of ingest."""
    if status < 400:
        return "Accepted"
    if status == 401:
        return "Unauthenticated"
    return "Refused" if status < 500 else "Unavailable"


def disagreements(function: str, lines: list[dict[str, Any]]) -> list[str]:
    """The metrics of a function that its log lines contradict."""
    found, counts = sums(lines), expected(lines)
    names = {*OUTCOMES.values(), *map(answer, (200, 401, 404, 503)), "Records", "Requests"}
    return [
        f"{function}: the metric {name} adds up to {found[name]}, its log lines to {counts[name]}"
        for name in sorted(names)
        if found[name] != counts[name]
    ]
