"""The local AWS's CloudWatch: what it has to be given by hand, and what it answers.

In AWS, CloudWatch Logs extracts the metrics of EMF lines, and SQS and Lambda publish theirs. The local AWS does only
the last, and only for invocations that somebody makes by hand. So `publish_*` does the rest.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import emf, observation
from .stack import Stack

# The most data of one PutMetricData, and the most queries of one GetMetricData.
PUT_BATCH = 1000
GET_BATCH = 500
# The functions' own line at the end of an invocation that they answered.
ANSWERED = {"batch handled", "request handled"}
# The platform's line at the end of an invocation.
REPORT = re.compile(r"REPORT RequestId: (\S+)\tDuration: ([\d.]+) ms\t.*")


@dataclass(frozen=True)
class Metric:
    """A metric is its namespace, its name and all of its dimensions."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Iterable[dict[str, str]]) -> Metric:
        """From dimensions as CloudWatch's API has them."""
        return cls(namespace, name, frozenset((one["Name"], one["Value"]) for one in dimensions))

    def api_dimensions(self) -> list[dict[str, str]]:
        return [{"Name": name, "Value": value} for name, value in sorted(self.dimensions)]


def publish_function_metrics(stack: Stack, lines: Iterable[dict[str, Any]]) -> list[str]:
    """Puts the metrics of the function's log lines; answers what is wrong with the lines."""
    by_namespace: dict[str, list[dict[str, Any]]] = defaultdict(list)
    problems = []
    for line in lines:
        if not emf.is_document(line):
            continue
        try:
            for namespace, datum in list(emf.data(line, now_ms=int(time.time() * 1000))):
                by_namespace[namespace].append(datum)
        except emf.EmfError as error:
            problems.append(f"the metrics of request {line.get('request_id')}: {error}")
    for namespace, data in by_namespace.items():
        put(stack, namespace, data)
    return problems if by_namespace else [*problems, "the function wrote no metrics"]


def publish_invocations(
    stack: Stack, function: str, events: Iterable[dict[str, Any]], recorded: Container[str]
) -> None:
    """Puts Lambda's metrics of every invocation in a function's log, but for the `recorded` ones (request ids)."""
    messages = [event["message"] for event in events]
    durations = dict(found.groups() for found in map(REPORT.fullmatch, messages) if found)
    answered = {line["request_id"] for line in observation.parsed(messages) if line.get("message") in ANSWERED}
    data = []
    for request_id in durations.keys() - recorded:
        values = {
            ("Invocations", "Count"): 1,
            ("Errors", "Count"): int(request_id not in answered),
            ("Throttles", "Count"): 0,
            ("Duration", "Milliseconds"): float(durations[request_id]),
        }
        data += data_of(values, "FunctionName", function)
    put(stack, "AWS/Lambda", data)


def publish_url_answers(stack: Stack, function: str, lines: Iterable[dict[str, Any]]) -> None:
    """Puts what AWS counts at a function URL: here the function's own answers, since nobody else refuses anything."""
    data = []
    for line in observation.requests(lines):
        data += data_of({("Url4xxCount", "Count"): int(400 <= line["status"] < 500)}, "FunctionName", function)
    put(stack, "AWS/Lambda", data)


def publish_queue_metrics(stack: Stack) -> None:
    """Puts the three metrics of SQS that matter here, for the dead-letter queue and the parking queue."""
    data = []
    for output in ("DeadLetterQueueUrl", "ParkingQueueUrl"):
        url = stack.outputs[output]
        held = stack.aws.messages(url)
        visible = sum(message["IsVisible"] for message in held)
        # SQS leaves out what was received three times: it is what nobody gets to that grows old.
        sent = [message["SentTimestamp"] for message in held if message["ReceiveCount"] < 3]
        values = {
            ("ApproximateNumberOfMessagesVisible", "Count"): visible,
            ("ApproximateNumberOfMessagesNotVisible", "Count"): len(held) - visible,
            ("ApproximateAgeOfOldestMessage", "Seconds"): int(time.time() - min(sent, default=time.time())),
        }
        data += data_of(values, "QueueName", url.rpartition("/")[2])
    put(stack, "AWS/SQS", data)


def data_of(values: Mapping[tuple[str, str], float], dimension: str, dimension_value: str) -> list[dict[str, Any]]:
    """The data of metrics, by name and unit, that have one dimension."""
    dimensions = [{"Name": dimension, "Value": dimension_value}]
    return [
        {"MetricName": name, "Unit": unit, "Value": value, "Dimensions": dimensions}
        for (name, unit), value in values.items()
    ]


def put(stack: Stack, namespace: str, data: Sequence[dict[str, Any]]) -> None:
    """Hands data to CloudWatch."""
    client = stack.aws.client("cloudwatch")
    for start in range(0, len(data), PUT_BATCH):
        client.put_metric_data(Namespace=namespace, MetricData=data[start : start + PUT_BATCH])


def statistics(stack: Stack, wanted: Sequence[tuple[Metric, str]]) -> list[float | None]:
    """A statistic of each metric since the stack was deployed; None where a metric has no data."""
    now = int(time.time())
    # A period that began with the epoch holds the whole run, whenever that began.
    period = (now // 60 + 2) * 60
    queries = [
        {
            "Id": f"q{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": metric.namespace,
                    "MetricName": metric.name,
                    "Dimensions": metric.api_dimensions(),
                },
                "Period": period,
                "Stat": statistic,
            },
        }
        for number, (metric, statistic) in enumerate(wanted)
    ]
    client = stack.aws.client("cloudwatch")
    found: dict[str, float] = {}
    for start in range(0, len(queries), GET_BATCH):
        answer = client.get_metric_data(
            MetricDataQueries=queries[start : start + GET_BATCH], StartTime=stack.deployed_at, EndTime=now + 60
        )
        found |= {result["Id"]: result["Values"][0] for result in answer["MetricDataResults"] if result["Values"]}
    return [found.get(query["Id"]) for query in queries]
