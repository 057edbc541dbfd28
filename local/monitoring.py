"""The part of the demo on monitoring: the place of every event, the log, and the names in the console of AWS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from samtranslator.yaml_helper import yaml_parse

from . import bridge, build, metrics, observation, report, stack
from .observation import Observation, Sent


def show(local: stack.Stack, sent: Sequence[Sent], seen: Observation) -> list[str]:
    """Prints places, log lines and names; returns findings."""
    verdicts = [line for lines in seen.verdicts.values() for line in lines]
    ingest_lines = observation.log_lines(local, "IngestLogGroupName")
    requests = observation.requests(ingest_lines)
    problems = [
        *places(local, sent, seen),
        *metrics.disagreements("replay", seen.log_lines, metrics.of_records(verdicts)),
        *metrics.disagreements("ingest", ingest_lines, metrics.of_requests(requests)),
    ]
    longest = max(sent, key=lambda one: len(one.scenario.ending.outcomes))
    report.heading(f"The log lines of one dead letter: {longest.scenario.name}")
    report.log(history(longest, seen))
    report.heading("The names in CloudWatch")
    report.table(["kind", "name"], names(local))
    return problems


def places(local: stack.Stack, sent: Sequence[Sent], seen: Observation) -> list[str]:
    """Counts the events in each place and compares with the scenarios."""
    endings = [one.scenario.ending for one in sent]
    ledger = Counter(item["Status"]["S"] for item in seen.ledger.values())
    counts = {
        "delivered (ledger items COMPLETED)": (
            ledger["COMPLETED"],
            sum(ending.ledger == "COMPLETED" for ending in endings),
        ),
        "archived (objects in the bucket)": (
            len(seen.archived_bodies),
            sum(ending.archived for ending in endings),
        ),
        "waiting (messages in the dead-letter queue)": (
            len(local.aws.messages(local.outputs["DeadLetterQueueUrl"])),
            sum(ending.ledger == "DEFERRED" for ending in endings),
        ),
        "parked (messages in the parking queue)": (len(local.aws.messages(local.outputs["ParkingQueueUrl"])), 0),
    }
    report.heading("The place of every event")
    rows = [[place, str(found)] for place, (found, _) in counts.items()]
    report.table(
        ["place", "events"], [*rows, [f"in all, of {len(sent)} sent", str(sum(found for found, _ in counts.values()))]]
    )
    return [
        f"{place}: {found}, expected {expected}" for place, (found, expected) in counts.items() if found != expected
    ]


def history(sent: Sent, seen: Observation) -> list[dict[str, object]]:
    """The lines about one event, and the summaries of its batches."""
    about = [line for line in seen.log_lines if line.get("event_id") == sent.letter.event_id]
    requests = {line["request_id"] for line in about}
    return [
        line
        for line in seen.log_lines
        if line in about or (line.get("message") == "batch handled" and line["request_id"] in requests)
    ]


def names(local: stack.Stack) -> list[tuple[str, str]]:
    """The dashboards, the saved queries and the log groups of the stack."""
    resources = yaml_parse((build.ROOT / "template.yaml").read_text())["Resources"].values()
    queries = [one["Properties"]["Name"]["Fn::Sub"] for one in resources if one["Type"] == bridge.QUERY_TYPE]
    return [
        *(("dashboard", local.outputs[output]) for output in ("DashboardName", "IngestDashboardName")),
        *(("saved query", query.replace("${AWS::StackName}", stack.STACK_NAME)) for query in queries),
        *(("log group", local.outputs[output]) for output in ("ReplayLogGroupName", "IngestLogGroupName")),
    ]
