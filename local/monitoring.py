"""The part of the demo on monitoring: the dashboards and the place of every event."""

from __future__ import annotations

from collections.abc import Container, Sequence

from . import cloudwatch, dashboard, observation, processes, whereabouts
from .observation import Observation, Sent
from .stack import Stack


def show(local: Stack, sent: Sequence[Sent], seen: Observation, by_hand: Container[str]) -> list[str]:
    """Fills the local CloudWatch as AWS would, prints what it then shows, and answers what is not as it must be.

    `by_hand` are the request ids of the invocations that were no batches of the event source mapping.
    """
    processes.say("putting the metrics into CloudWatch that AWS puts there by itself ...")
    problems = cloudwatch.publish_function_metrics(local, seen.log_lines)
    cloudwatch.publish_invocations(local, local.outputs["ReplayFunctionName"], observation.log_events(local), by_hand)
    requests = observation.log_lines(local, "IngestLogGroupName")
    problems += cloudwatch.publish_function_metrics(local, requests)
    events = observation.log_events(local, "IngestLogGroupName")
    cloudwatch.publish_invocations(local, local.outputs["IngestFunctionName"], events, recorded=())
    cloudwatch.publish_url_answers(local, local.outputs["IngestFunctionName"], requests)
    cloudwatch.publish_queue_metrics(local)
    verdicts = [line for lines in seen.verdicts.values() for line in lines]
    problems += dashboard.show(local, verdicts, requests)
    return problems + whereabouts.show(local, seen, sent)
