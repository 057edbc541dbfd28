"""The part of the demo on monitoring: the place of every event, and where a person looks in AWS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from samtranslator.yaml_helper import yaml_parse

from . import bridge, build, metrics, observation, report, stack
from .observation import Observation, Sent


def show(local: stack.Stack, sent: Sequence[Sent], seen: Observation) -> list[str]:
    """Prints the place of every event and the names in the console; returns findings."""
    verdicts = [line for lines in seen.verdicts.values() for line in lines]
    ingest_lines = observation.log_lines(local, "IngestLogGroupName")
    requests = observation.requests(ingest_lines)
    problems = [
        *places(local, seen, len(sent)),
        *metrics.disagreements("replay", seen.log_lines, metrics.of_records(verdicts)),
        *metrics.disagreements("ingest", ingest_lines, metrics.of_requests(requests)),
    ]
    report.heading("Where a person looks in AWS")
    report.table(["in CloudWatch", "name"], names(local))
    return problems


def places(local: stack.Stack, seen: Observation, sent: int) -> list[str]:
    """Counts the events in each place; they must add up to the events that were sent."""
    ledger = Counter(item["Status"]["S"] for item in seen.ledger.values())
    found = {
        "delivered (ledger items COMPLETED)": ledger["COMPLETED"],
        "archived (objects in the bucket)": len(seen.archived_bodies),
        "waiting (messages in the dead-letter queue)": len(local.aws.messages(local.outputs["DeadLetterQueueUrl"])),
        "parked (messages in the parking queue)": len(local.aws.messages(local.outputs["ParkingQueueUrl"])),
    }
    total = sum(found.values())
    report.heading("The place of every event")
    report.table(["place", "events"], [*((name, str(count)) for name, count in found.items()), ("in all", str(total))])
    return [] if total == sent else [f"{sent} events were sent, {total} are in a known place"]


def names(local: stack.Stack) -> list[tuple[str, str]]:
    """The dashboards, the saved queries and the log groups of the stack."""
    resources = yaml_parse((build.ROOT / "template.yaml").read_text())["Resources"].values()
    queries = [one["Properties"]["Name"]["Fn::Sub"] for one in resources if one["Type"] == bridge.QUERY_TYPE]
    return [
        *(("dashboard", local.outputs[output]) for output in ("DashboardName", "IngestDashboardName")),
        *(("saved query", query.replace("${AWS::StackName}", stack.STACK_NAME)) for query in queries),
        *(("log group", local.outputs[output]) for output in ("ReplayLogGroupName", "IngestLogGroupName")),
    ]
