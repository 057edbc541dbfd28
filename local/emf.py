"""The Embedded Metric Format: the metrics that a log line holds, as CloudWatch Logs extracts them in AWS.

The specification: CloudWatch_Embedded_Metric_Format_Specification.html of AWS's CloudWatch guide. CloudWatch drops
without a word what does not keep to it. Here it is an error, so that a wrong line is noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

# CloudWatch takes no other time: two weeks back, two hours ahead.
OLDEST_MS = 14 * 24 * 3600 * 1000
NEWEST_MS = 2 * 3600 * 1000
MOST_METRICS = 100
MOST_VALUES = 100
MOST_DIMENSIONS = 30
LONGEST_NAME = 1024
SIZES = [f"{scale}{size}" for scale in ("", "Kilo", "Mega", "Giga", "Tera") for size in ("bytes", "bits")]
UNITS = {
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"),
    *(size.capitalize() for size in SIZES),
    *(f"{size.capitalize()}/Second" for size in SIZES),
}


class EmfError(Exception):
    """The line is no proper document; the text says what is wrong with it."""


def is_document(line: Mapping[str, Any]) -> bool:
    """Whether CloudWatch Logs looks for metrics in this line."""
    return "_aws" in line


def data(document: Mapping[str, Any], now_ms: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every datum of a document, with its namespace, as PutMetricData takes it; raises EmfError."""
    metadata = member(document, "_aws", dict)
    timestamp = member(metadata, "Timestamp", int)
    if not now_ms - OLDEST_MS <= timestamp <= now_ms + NEWEST_MS:
        raise EmfError(f"Timestamp {timestamp} is no time in milliseconds, or too far from now")
    for directive in member(metadata, "CloudWatchMetrics", list):
        checked(directive, dict, "a directive")
        namespace = name(directive, "Namespace")
        sets = [dimensions(document, names) for names in member(directive, "Dimensions", list)]
        definitions = member(directive, "Metrics", list)
        if len(definitions) > MOST_METRICS:
            raise EmfError(f"{len(definitions)} metrics in one directive, at most {MOST_METRICS} are allowed")
        for definition in definitions:
            datum = metric(document, checked(definition, dict, "a metric"))
            for dimension_set in sets:
                yield namespace, {**datum, "Dimensions": dimension_set, "Timestamp": timestamp / 1000}


def dimensions(document: Mapping[str, Any], names: Any) -> list[dict[str, str]]:
    """One dimension set, its values taken from the document."""
    if len(checked(names, list, "a dimension set")) > MOST_DIMENSIONS:
        raise EmfError(f"{len(names)} dimensions in one set, at most {MOST_DIMENSIONS} are allowed")
    return [{"Name": dimension, "Value": name(document, checked(dimension, str, "a dimension"))} for dimension in names]


def metric(document: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    """A metric's datum without dimensions."""
    metric_name = name(definition, "Name")
    unit = definition.get("Unit", "None")
    if unit not in UNITS:
        raise EmfError(f"{metric_name} has the unit {unit!r}, which CloudWatch does not know")
    resolution = definition.get("StorageResolution", 60)
    if resolution not in {1, 60}:
        raise EmfError(f"{metric_name} has the storage resolution {resolution!r}, not 1 or 60")
    return {
        "MetricName": metric_name,
        "Unit": unit,
        "StorageResolution": resolution,
        "Values": values_of(document, metric_name),
    }


def values_of(document: Mapping[str, Any], metric_name: str) -> list[float]:
    """What was measured: a number or an array of numbers."""
    found = document.get(metric_name)
    values = found if isinstance(found, list) else [found]
    if not 1 <= len(values) <= MOST_VALUES:
        raise EmfError(f"{metric_name} has {len(values)} values, from 1 to {MOST_VALUES} are allowed")
    if not all(map(is_number, values)):
        raise EmfError(f"{metric_name} is {found!r}, which is no number and no list of numbers")
    return values


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def name(holder: Mapping[str, Any], key: str) -> str:
    """A member that is a text of a length CloudWatch accepts."""
    found = member(holder, key, str)
    if not 1 <= len(found) <= LONGEST_NAME:
        raise EmfError(f"{key} has {len(found)} characters")
    return found


def member(holder: Mapping[str, Any], key: str, kind: type) -> Any:
    """A member that has to be there, and of this kind."""
    if key not in holder:
        raise EmfError(f"{key} is missing")
    return checked(holder[key], kind, key)


def checked(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise EmfError(f"{what} is {value!r}, expected {kind.__name__}")
    return value
