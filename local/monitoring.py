"""The monitoring part of the demo: the place of every event, the log, and the names in the AWS console."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from samtranslator.yaml_helper import yaml_parse

from . import build, metrics, ministack, report, snapshot, stack
from .snapshot import Observation, Sent


def show(local: stack.Stack, sent: Sequence[Sent], seen: Observation) -> list[str]:
    """Prints places, log lines and names; returns findings."""
    problems = [
        *places(local, sent, seen),
        *metrics.disagreements("replay", seen.log_lines),
        *metrics.disagreements("ingest", snapshot.log_lines(local, "IngestLogGroupName")),
    ]
    longest = max(sent, key=lambda one: len(one.scenario.ending.outcomes))
    report.heading(f"The log lines of one dead letter: {longest.scenario.name}")
    about = [line for line in seen.log_lines if line.get("event_id") == longest.letter.event_id]
    batch = about[-1]["request_id"]
    summary = [one for one in seen.log_lines if (one.get("message"), one.get("request_id")) == ("batch handled", batch)]
    report.log([*about, *summary])
    report.heading("The names in CloudWatch")
    report.table(["kind", "name"], names(local))
    return problems


def places(local: stack.Stack, sent: Sequence[Sent], seen: Observation) -> list[str]:
    """Counts the events in each place and compares with the scenarios."""
    expected = Counter(one.scenario.ending.ledger for one in sent)
    archived = sum(one.scenario.ending.archived for one in sent)
    delivered = sum(item["Status"]["S"] == "COMPLETED" for item in seen.ledger.values())
    queue, parking = (len(local.aws.messages(local.outputs[f"{name}QueueUrl"])) for name in ("DeadLetter", "Parking"))
    counts = [
        ("delivered (ledger items COMPLETED)", delivered, expected["COMPLETED"]),
        ("archived (objects in the bucket)", len(seen.archived_bodies), archived),
        ("waiting (messages in the dead-letter queue)", queue, expected["DEFERRED"]),
        ("parked (messages in the parking queue)", parking, 0),
    ]
    report.heading("The place of every event")
    total = (f"in all, of {len(sent)} sent", str(sum(found for _, found, _ in counts)))
    report.table(["place", "events"], [*((place, str(found)) for place, found, _ in counts), total])
    return [f"{place}: {found}, expected {number}" for place, found, number in counts if found != number]


def names(local: stack.Stack) -> list[tuple[str, str]]:
    """The dashboards, the saved queries and the log groups of the stack."""
    resources = yaml_parse((build.ROOT / "monitoring/resources.yaml").read_text()).values()
    queries = [one["Properties"]["Name"]["Fn::Sub"] for one in resources if one["Type"] == ministack.QUERY_TYPE]
    return [
        *(("dashboard", local.outputs[output]) for output in ("DashboardName", "IngestDashboardName")),
        *(("saved query", query.replace("${AWS::StackName}", stack.STACK_NAME)) for query in queries),
        *(("log group", local.outputs[output]) for output in ("ReplayLogGroupName", "IngestLogGroupName")),
    ]
