"""What the stages of a Logs Insights query do, one after the other, to the rows of its result."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

# A cell that has no value is missing from its row.
Row = dict[str, Any]
Condition = Callable[[Row], bool]
Stage = Callable[["Result"], "Result"]

# RFC 3339, in UTC.
MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(?:Z|\+00:00)")


class QueryError(Exception):
    """The query is wrong, or uses something that is not known here."""


@dataclass(frozen=True)
class Result:
    """What a query answers."""

    rows: tuple[Row, ...]
    # What `fields` or `stats` chose.
    columns: tuple[str, ...] = ()
    # Whether the rows are results of `stats`, which have only their own columns.
    aggregated: bool = False
    # Whether their order is the query's own.
    ordered: bool = False


@dataclass(frozen=True)
class Aggregate:
    """`function(field) as name` of a stats stage."""

    name: str
    field: str
    function: Callable[[Sequence[Any]], Any]


def fields(names: Sequence[str]) -> Stage:
    """Chooses columns, besides those that were chosen before."""

    def stage(result: Result) -> Result:
        check_known(result, names)
        return replace(result, columns=(*result.columns, *names))

    return stage


def keep(conditions: Sequence[tuple[str, Condition]]) -> Stage:
    """Drops the rows that do not fulfil every condition."""

    def stage(result: Result) -> Result:
        check_known(result, [name for name, _ in conditions])
        rows = tuple(row for row in result.rows if all(condition(row) for _, condition in conditions))
        return replace(result, rows=rows)

    return stage


def sort(name: str, *, descending: bool) -> Stage:
    """Orders by one field; rows without it come last, equal ones stay as they are."""

    def stage(result: Result) -> Result:
        check_known(result, [name])
        there = sorted((row for row in result.rows if name in row), key=lambda row: rank(row[name]), reverse=descending)
        absent = [row for row in result.rows if name not in row]
        return replace(result, rows=(*there, *absent), ordered=True)

    return stage


def limit(count: int) -> Stage:
    """Keeps the first rows."""

    def stage(result: Result) -> Result:
        result = in_default_order(result)
        return replace(result, rows=result.rows[:count])

    return stage


def in_default_order(result: Result) -> Result:
    """Events with the newest first, if the query did not say how."""
    return result if result.aggregated or result.ordered else sort("@timestamp", descending=True)(result)


def stats(aggregates: Sequence[Aggregate], by: Sequence[str]) -> Stage:
    """One row for each combination of values in `by`."""

    def stage(result: Result) -> Result:
        check_known(result, [*by, *(one.field for one in aggregates if one.field != "*")])
        groups: dict[tuple[Any, ...], list[Row]] = {}
        # In order of time, for latest and earliest; in one moment, as they stand in the log.
        for row in sorted(result.rows, key=lambda row: row.get("@timestamp", "")):
            groups.setdefault(tuple(row.get(name) for name in by), []).append(row)
        rows = []
        for key, members in groups.items():
            row = {name: value for name, value in zip(by, key, strict=True) if value is not None}
            for one in aggregates:
                values = members if one.field == "*" else [row[one.field] for row in members if one.field in row]
                if values:
                    row[one.name] = one.function(values)
            rows.append(row)
        return Result(tuple(rows), (*by, *(one.name for one in aggregates)), aggregated=True)

    return stage


def check_known(result: Result, names: Iterable[str]) -> None:
    """After stats there are only its results; before, an event may have any field."""
    for name in names:
        if result.aggregated and name not in result.columns:
            raise QueryError(f"{name} is no result of stats")


def percentile(percent: float) -> Callable[[Sequence[Any]], float]:
    """The smallest of the values that `percent` of them do not exceed."""

    def calculate(values: Sequence[Any]) -> float:
        ordered = sorted(numbers(values))
        return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]

    return calculate


FUNCTIONS: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    # Of the events that have the field.
    "latest": lambda values: values[-1],
    "earliest": lambda values: values[0],
    "max": lambda values: max(values, key=rank),
    "min": lambda values: min(values, key=rank),
    "avg": lambda values: sum(numbers(values)) / len(values),
    "sum": lambda values: sum(numbers(values)),
    "count_distinct": lambda values: len(set(values)),
}


def row_of(event: Mapping[str, Any]) -> Row:
    """The fields of a log event: those of its JSON object, members of members joined by dots."""
    row: Row = {}
    try:
        document = json.loads(event["message"])
    except ValueError:
        document = None
    if isinstance(document, dict):
        flatten(document, "", row)
    row["@timestamp"] = moment(event, row)
    row["@message"] = event["message"]
    return row


def flatten(value: Any, path: str, row: Row) -> None:
    """Puts every leaf into the row; in Insights true and false are 1 and 0, and null is nothing."""
    if isinstance(value, (dict, list)):
        for name, member in value.items() if isinstance(value, dict) else enumerate(value):
            flatten(member, f"{path}.{name}" if path else str(name), row)
    elif value is not None:
        row[path] = int(value) if isinstance(value, bool) else value


def moment(event: Mapping[str, Any], row: Row) -> str:
    """When the line was written, as Insights shows it.

    The local AWS stamps all lines of an invocation with the moment it ended, so a line's own timestamp says more.
    """
    own = MOMENT.fullmatch(str(row.get("timestamp")))
    if own:
        at = datetime.fromisoformat(own[1]) + timedelta(seconds=float(own[2] or 0))
    else:
        at = datetime.fromtimestamp(event["timestamp"] / 1000, timezone.utc)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def text_of(value: Any) -> str:
    """A cell as Insights shows it."""
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def number_of(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def numbers(values: Sequence[Any]) -> list[float]:
    found = [number_of(value) for value in values]
    if None in found:
        raise QueryError(f"not all of these are numbers: {values}")
    return found


def rank(value: Any) -> tuple[int, Any]:
    """By which values are ordered: numbers before texts."""
    return (0, value) if isinstance(value, (int, float)) else (1, str(value))
