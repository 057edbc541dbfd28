"""The functions' metrics: the sums of their EMF documents must be the counts of their own log lines.

In AWS, CloudWatch Logs extracts the metrics from these documents. The local AWS does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
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
# The metric of each answer of ingest, by its status.
ANSWERS: dict[str, Callable[[int], bool]] = {
    "Accepted": lambda status: status < 400,
    "Unauthenticated": lambda status: status == 401,
    "Refused": lambda status: 400 <= status < 500 and status != 401,
    "Unavailable": lambda status: status >= 500,
}


def is_document(line: Mapping[str, Any]) -> bool:
    """Whether a log line is an EMF document."""
    return "_aws" in line


def sums(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """The sum of each metric, without the documents that count one category only."""
    found: Counter[str] = Counter()
    for line in filter(is_document, lines):
        for directive in line["_aws"]["CloudWatchMetrics"]:
            if not any("Category" in names for names in directive["Dimensions"]):
                for name in (definition["Name"] for definition in directive["Metrics"]):
                    value = line[name]
                    found[name] += sum(value) if isinstance(value, list) else value
    return found


def of_records(verdicts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The metrics of batches, counted from the lines about their records."""
    outcomes = Counter(line["outcome"] for line in verdicts)
    counts = {metric: outcomes[outcome] for outcome, metric in OUTCOMES.items()}
    return {"Records": outcomes.total(), "Unaccounted": 0, "PossibleDuplicates": 0, **counts}


def of_requests(requests: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The metrics of requests, counted from the lines about them."""
    statuses = [line["status"] for line in requests]
    return {"Requests": len(statuses), **{name: sum(map(counts, statuses)) for name, counts in ANSWERS.items()}}


def disagreements(function: str, lines: Iterable[Mapping[str, Any]], expected: Mapping[str, int]) -> list[str]:
    """The metrics of a function whose sum is not the expected count."""
    found = sums(lines)
    return [
        f"{function}: the metric {name} adds up to {found[name]}, its log lines to {count}"
        for name, count in expected.items()
        if found[name] != count
    ]
