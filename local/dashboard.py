"""The deployed dashboards as text, and whether their figures are those of the log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import cloudwatch, observation, processes, report
from .cloudwatch import Metric
from .stack import Stack

NAMESPACE = "GenesysReplay"
# The outputs that name them; the second is there with ingest only.
DASHBOARDS = ("DashboardName", "IngestDashboardName")
# The metric of each outcome, by the outcome's name in the log.
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
# The category of a message that holds no event.
NO_CATEGORY = "NONE"


@dataclass(frozen=True)
class Graph:
    """One metric of a widget."""

    widget: str
    metric: Metric
    statistic: str
    label: str | None

    @property
    def category(self) -> str | None:
        """The category that it is limited to."""
        return dict(self.metric.dimensions).get("Category")


def show(local: Stack, verdicts: Sequence[Mapping[str, Any]], requests: Iterable[dict[str, Any]]) -> list[str]:
    """Prints every graph that has data with its value over the whole run; answers what does not fit the logs.

    `verdicts` are the replay function's, `requests` the lines of the ingest function.
    """
    graphs = deployed(local)
    values = cloudwatch.statistics(local, [(graph.metric, graph.statistic) for graph in graphs])
    shown = [(graph, value) for graph, value in zip(graphs, values, strict=True) if value is not None]
    report.heading(
        "The dashboards' figures, from CloudWatch",
        note="Over all that was told above. Categories of which there is none are left out.",
    )
    rows = [
        [graph.widget, title(graph), graph.statistic, report.number(value)]
        for graph, value in shown
        if value or not graph.category
    ]
    report.table(["widget", "metric", "statistic", "value"], report.grouped(rows))
    return disagreements(shown, verdicts) + miscounted(shown, requests) + empty_widgets(graphs, shown)


def deployed(local: Stack) -> list[Graph]:
    """Every metric of every widget of the dashboards, in order."""
    return [graph for properties in widgets(local, "metric") for graph in graphs_of(properties)]


def widgets(local: Stack, kind: str) -> list[dict[str, Any]]:
    """The properties of the dashboards' widgets of a kind."""
    client = local.aws.client("cloudwatch")
    names = [local.outputs[output] for output in DASHBOARDS if output in local.outputs]
    bodies = [json.loads(client.get_dashboard(DashboardName=name)["DashboardBody"]) for name in names]
    return [widget["properties"] for body in bodies for widget in body["widgets"] if widget["type"] == kind]


def graphs_of(properties: Mapping[str, Any]) -> Iterator[Graph]:
    """The metrics of a widget; "." repeats a word of the metric before, "..." all words that are not given."""
    above: list[str] = []
    for entry in properties["metrics"]:
        words, options = (entry[:-1], entry[-1]) if isinstance(entry[-1], dict) else (entry, {})
        if not words:
            raise processes.StackError(f"the widget {properties['title']!r} has {options}, which this does not know")
        if words[0] == "...":
            words = above[: len(above) - len(words) + 1] + words[1:]
        words = [above[at] if word == "." else word for at, word in enumerate(words)]
        above = words
        namespace, name, *dimensions = words
        yield Graph(
            properties["title"],
            Metric(namespace, name, frozenset(zip(dimensions[::2], dimensions[1::2], strict=True))),
            options.get("stat") or properties.get("stat", "Average"),
            options.get("label"),
        )


def title(graph: Graph) -> str:
    """The metric's name and what tells it from others of this name."""
    told = graph.category or (f"({graph.label})" if graph.label else "")
    return f"{graph.metric.name} {told}".strip()


def disagreements(shown: Iterable[tuple[Graph, float]], verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The sums of outcomes that are not those of the log, and those that the dashboard lacks."""
    outcomes = Counter((OUTCOMES[line["outcome"]], line.get("category", NO_CATEGORY)) for line in verdicts)
    expected: Counter[tuple[str, str | None]] = Counter(outcomes)
    for (name, _), count in outcomes.items():
        expected[name, None] += count
    expected["Records", None] = len(verdicts)
    expected["PossibleDuplicates", None] = sum(line.get("possible_duplicate", False) for line in verdicts)
    expected["Unaccounted", None] = 0
    expected["Unrecorded", None] = 0
    expected["Expiring", None] = 0
    found = {
        (graph.metric.name, graph.category): value
        for graph, value in shown
        if graph.metric.namespace == NAMESPACE and graph.statistic == "Sum"
    }
    problems = [
        f"dashboard: {name} {category or 'in all'} is {report.number(found.get((name, category)))}, the log has {count}"
        for (name, category), count in expected.items()
        if found.get((name, category)) != count
    ]
    return problems + [
        f"dashboard: {name} {category} is {report.number(value)}, the log has none"
        for (name, category), value in found.items()
        if name in OUTCOMES.values() and value and (name, category) not in expected
    ]


def requests_counted(lines: Iterable[dict[str, Any]]) -> dict[str, int]:
    """What ingest's metrics have to be, by the lines about its requests."""
    handled = observation.requests(lines)
    answers = {name: sum(counts(line["status"]) for line in handled) for name, counts in ANSWERS.items()}
    kept = sum("malformed" in line and "problem" not in line for line in handled)
    return {"Requests": len(handled), **answers, "MalformedKept": kept}


def miscounted(shown: Iterable[tuple[Graph, float]], lines: Iterable[dict[str, Any]]) -> list[str]:
    """The sums of requests that are not those of ingest's log."""
    found = {graph.metric.name: value for graph, value in shown if graph.statistic == "Sum"}
    return [
        f"dashboard: {name} is {report.number(found.get(name))}, ingest's log has {count}"
        for name, count in requests_counted(lines).items()
        if found.get(name) != count
    ]


def empty_widgets(graphs: Iterable[Graph], shown: Iterable[tuple[Graph, float]]) -> list[str]:
    """Widgets without any data: they name metrics that nobody publishes."""
    filled = {graph.widget for graph, _ in shown}
    return [
        f"the widget {name!r} has no data"
        for name in dict.fromkeys(graph.widget for graph in graphs)
        if name not in filled
    ]
