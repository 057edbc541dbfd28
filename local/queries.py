"""The saved queries of template.yaml, run on the demo's log."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from . import bridge, build, dashboard, insights, insights_stages, observation, processes, report
from .observation import Sent
from .stack import Stack

FAILURES, HISTORY, SLOWEST = "FailuresQuery", "EventHistoryQuery", "SlowestRecordsQuery"
REFUSALS = "IngestRefusalsQuery"
# What a person replaces in the history query.
EVENT_ID = re.compile(r'(?<=event_id = ")[^"]*')
# So many of the slowest records are printed.
SHOWN = 5


def show(local: Stack, sent: Sequence[Sent]) -> list[str]:
    """Runs and prints each query; answers what is not as the scenarios ended."""
    saved = {name: properties["QueryString"] for name, properties in deployed().items()}
    events = observation.log_events(local)
    failures = run(FAILURES, saved[FAILURES], events)
    report.table(failures.columns, [[report.folded(cell, 50) for cell in row] for row in cells(failures)])
    refusals = show_refusals(local, saved[REFUSALS])

    # The event with the longest history.
    looked_up = max(sent, key=lambda one: len(one.scenario.ending.outcomes))
    history = run(HISTORY, EVENT_ID.sub(str(looked_up.letter.event_id), saved[HISTORY]), events)
    # Few rows of many columns: each row stands upright.
    header = [looked_up.scenario.name, *(f"line {number}" for number, _ in enumerate(history.rows, start=1))]
    upright = zip(history.columns, *cells(history), strict=True)
    report.table(header, [[name, *(report.folded(cell, 36) for cell in row)] for name, *row in upright])

    slowest = run(SLOWEST, saved[SLOWEST], events)
    more = [f"{len(slowest.rows) - SHOWN} more", *[""] * (len(slowest.columns) - 1)]
    first = [[report.cut(cell, 24) for cell in row] for row in cells(slowest)[:SHOWN]]
    report.table(slowest.columns, [*first, more] if len(slowest.rows) > SHOWN else first)
    return (
        check_failures(failures, sent)
        + check_history(history, looked_up)
        + refusals
        + ([] if slowest.rows else [f"{SLOWEST} answers nothing"])
        + [
            f"the widget {title!r} asks none of the saved queries"
            for title, query in dashboard.queries(local).items()
            if query not in saved.values()
        ]
    )


def show_refusals(local: Stack, query: str) -> list[str]:
    """Runs and prints the query of what ingest did not accept; answers what is not as the log has it."""
    events = observation.log_events(local, "IngestLogGroupName")
    refusals = run(REFUSALS, query, events)
    report.table(refusals.columns, [[report.folded(cell, 40) for cell in row] for row in cells(refusals)])
    return check_refusals(refusals, observation.parsed(event["message"] for event in events))


def deployed() -> dict[str, Mapping[str, Any]]:
    """The saved queries, by their names in the template."""
    resources = yaml_parse((build.ROOT / "template.yaml").read_text())["Resources"]
    return {
        name: resource["Properties"] for name, resource in resources.items() if resource["Type"] == bridge.QUERY_TYPE
    }


def run(name: str, query: str, events: Sequence[Mapping[str, Any]]) -> insights.Result:
    """Prints a query, and answers it."""
    report.heading(f"Logs Insights: the saved query {name}", note=query)
    try:
        return insights.run(query, events)
    except insights.QueryError as error:
        raise processes.StackError(f"{name}: {error}") from None


def cells(result: insights.Result) -> list[list[str]]:
    """The rows as texts."""
    return [
        [insights_stages.text_of(row[column]) if column in row else "-" for column in result.columns]
        for row in result.rows
    ]


def check_failures(result: insights.Result, sent: Sequence[Sent]) -> list[str]:
    """As many of each failure code as the scenarios end with."""
    endings = [outcome.partition(" ")[2] for one in sent for outcome in one.scenario.ending.outcomes]
    expected = Counter(filter(None, endings))
    found: Counter[str] = Counter()
    for row in result.rows:
        found[row["failure_code"]] += row["receives"]
    return [
        f"{FAILURES} counts {found[code]} of {code}, the scenarios have {expected[code]}"
        for code in expected.keys() | found.keys()
        if found[code] != expected[code]
    ]


def check_refusals(result: insights.Result, lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """As many of each problem as the log has requests that met it."""
    expected = Counter(line["problem"] for line in lines if line.get("problem"))
    found: Counter[str] = Counter()
    for row in result.rows:
        found[row["problem"]] += row["requests"]
    return [
        f"{REFUSALS} counts {found[problem]} of {problem}, the log has {expected[problem]}"
        for problem in expected.keys() | found.keys()
        if found[problem] != expected[problem]
    ]


def check_history(result: insights.Result, looked_up: Sent) -> list[str]:
    """Every receive of the event, in order."""
    outcomes = [
        " ".join(filter(None, [row["outcome"], row.get("failure_code")])) for row in result.rows if "outcome" in row
    ]
    expected = list(looked_up.scenario.ending.outcomes)
    return [] if outcomes == expected else [f"{HISTORY} tells {outcomes}, the scenario {expected}"]
