"""Where every event is: counted by the metrics, and by looking into the places themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from . import cloudwatch, report
from .cloudwatch import Metric
from .observation import Observation, Sent
from .stack import Stack


def show(local: Stack, observation: Observation, sent: Sequence[Sent]) -> list[str]:
    """Prints both counts; answers where they differ, and when an event is nowhere or in two places."""
    ledger = Counter(item["Status"]["S"] for item in observation.ledger.values())
    queue = local.aws.messages(local.outputs["DeadLetterQueueUrl"])
    parked = local.aws.messages(local.outputs["ParkingQueueUrl"])
    counted = by_metrics(local)
    places = [
        ("delivered", "accepted by the target", counted[0], ledger["COMPLETED"], "ledger items COMPLETED"),
        (
            "archived",
            "given up, kept with the reason until a person sends it again",
            counted[1],
            len(observation.archived_bodies),
            "objects in the bucket",
        ),
        ("waiting", "in the queue for its next attempt", counted[2], len(queue), "messages"),
        ("parked", "in the parking queue for a person", counted[3], len(parked), "messages"),
    ]
    by_metric = sum(place[2] for place in places)
    by_looking = sum(place[3] for place in places)
    report.heading("Where every event is")
    report.table(
        ["events", "meaning", "by the metrics", "by looking there"],
        [[name, meaning, str(metric), f"{held} ({what})"] for name, meaning, metric, held, what in places]
        + [["in all", f"of {len(sent)} sent", str(by_metric), str(by_looking)]],
    )
    return [
        f"{name}: {metric} by the metrics, {held} {what}" for name, _, metric, held, what in places if metric != held
    ] + [
        f"{how} {count} events are somewhere, {len(sent)} were sent"
        for how, count in (("by the metrics", by_metric), ("by looking there", by_looking))
        if count != len(sent)
    ]


def by_metrics(local: Stack) -> list[int]:
    """How many events were delivered, archived, wait and are parked."""
    function = frozenset({("FunctionName", local.outputs["ReplayFunctionName"])})
    wanted = [(Metric("GenesysReplay", name, function), "Sum") for name in ("Replayed", "Archived")]
    for output in ("DeadLetterQueueUrl", "ParkingQueueUrl"):
        queue = frozenset({("QueueName", local.outputs[output].rpartition("/")[2])})
        wanted += [
            (Metric("AWS/SQS", f"ApproximateNumberOfMessages{state}", queue), "Maximum")
            for state in ("Visible", "NotVisible")
        ]
    replayed, archived, *queues = (int(value or 0) for value in cloudwatch.statistics(local, wanted))
    return [replayed, archived, queues[0] + queues[1], queues[2] + queues[3]]
