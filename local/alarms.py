"""The deployed alarms: a drill in which each of them has to ring, and how the demo left them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from . import cloudwatch, processes, report, stack
from .cloudwatch import Metric

QUEUE = "on-call"
BREACHES = {
    "GreaterThanThreshold": (">", lambda value, threshold: value > threshold),
    "GreaterThanOrEqualToThreshold": (">=", lambda value, threshold: value >= threshold),
}
# Statistics that one high datum takes above any threshold.
STATISTICS = {"Sum", "Maximum"}


def drill(local: stack.Stack) -> dict[str, list[str]]:
    """Makes each alarm ring, and answers to which states it went and of which of them somebody was told.

    Before anything else is in CloudWatch, since the local AWS adds up a metric of all dimensions when it evaluates an
    alarm, and with data of a time before the run, since they are not what happened.
    """
    queue_url = listen(local)
    return {short(alarm): ring(local, alarm, queue_url) for alarm in deployed(local)}


def ring(local: stack.Stack, alarm: Mapping[str, Any], queue_url: str) -> list[str]:
    """Takes one alarm to ALARM, by a datum of its own metric, and back."""
    client = local.aws.client("cloudwatch")
    name = alarm["AlarmName"]
    client.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="before the drill")
    notifications(local, queue_url)
    datum = {
        "MetricName": alarm["MetricName"],
        "Dimensions": alarm["Dimensions"],
        "Timestamp": local.deployed_at - 1,
        "Value": alarm["Threshold"] + 1,
    }
    # The local AWS evaluates alarms when data come in.
    cloudwatch.put(local, alarm["Namespace"], [datum])
    [during] = client.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    client.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="after the drill")
    told = [state for told_of, state in notifications(local, queue_url) if told_of == name]
    return [during["StateValue"], *told]


def show(local: stack.Stack, drilled: Mapping[str, Sequence[str]]) -> list[str]:
    """Prints each alarm with its drill and its state; answers which of them would not help anybody."""
    alarms = deployed(local)
    values = cloudwatch.statistics(local, [(metric_of(alarm), alarm["Statistic"]) for alarm in alarms])
    rows, problems = [], []
    for alarm, value in zip(alarms, values, strict=True):
        name = short(alarm)
        during, *told = drilled[name]
        if during != "ALARM":
            problems.append(f"{name} is {during} in the drill")
        if sorted(told) != ["ALARM", "OK"]:
            problems.append(f"{name} told {told} in the drill, not that it rang and that it was over")
        if value is None:
            problems.append(f"{name} watches {watched(alarm)}, which nobody published")
        rows.append([name, watched(alarm), during, " ".join(told) or "-", report.number(value), state(alarm, value)])
    report.heading(
        "The alarms",
        note="The drill was before the first dead letter. One datum above the threshold was enough in it: the local\n"
        "AWS waits for no more. The last two columns are what the dead letters did.",
    )
    report.table(["alarm", "rings when", "in the drill", "notified", "its metric now", "its state now"], rows)
    return problems


def deployed(local: stack.Stack) -> list[dict[str, Any]]:
    """The stack's alarms as CloudWatch has them."""
    pages = local.aws.client("cloudformation").get_paginator("list_stack_resources")
    ids = {
        resource["PhysicalResourceId"]: resource["LogicalResourceId"]
        for page in pages.paginate(StackName=stack.STACK_NAME)
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::CloudWatch::Alarm"
    }
    found = local.aws.client("cloudwatch").describe_alarms(AlarmNames=list(ids))["MetricAlarms"]
    for alarm in found:
        alarm["LogicalResourceId"] = ids[alarm["AlarmName"]]
        if alarm["ComparisonOperator"] not in BREACHES or alarm.get("Statistic") not in STATISTICS:
            raise processes.StackError(f"{short(alarm)}: the drill does not know how to make it ring")
    return found


def short(alarm: Mapping[str, Any]) -> str:
    return alarm["LogicalResourceId"]


def metric_of(alarm: Mapping[str, Any]) -> Metric:
    return Metric.of(alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"])


def watched(alarm: Mapping[str, Any]) -> str:
    sign, _ = BREACHES[alarm["ComparisonOperator"]]
    periods = f"{needed(alarm)} of {alarm['EvaluationPeriods']} times {alarm['Period'] // 60} min"
    return f"{alarm['Statistic']} of {alarm['MetricName']} {sign} {report.number(alarm['Threshold'])}, {periods}"


def needed(alarm: Mapping[str, Any]) -> int:
    """In how many periods the metric has to be too high."""
    return alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])


def state(alarm: Mapping[str, Any], value: float | None) -> str:
    """The state that the demo's own data, taken as those of one period, give the alarm in AWS.

    The local AWS's own verdict is no use: it adds up the metric of all dimensions, here every category's and the total.
    """
    _, breaches = BREACHES[alarm["ComparisonOperator"]]
    if value is None:
        return {"notBreaching": "OK", "breaching": "ALARM"}.get(alarm.get("TreatMissingData", ""), "INSUFFICIENT_DATA")
    return "ALARM" if breaches(value, alarm["Threshold"]) and needed(alarm) == 1 else "OK"


def listen(local: stack.Stack) -> str:
    """Subscribes a queue to the alarms' topic, as somebody on call does, and returns its URL."""
    topic = local.outputs["AlarmTopicArn"]
    sqs = local.aws.client("sqs")
    url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    local.aws.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    return url


def notifications(local: stack.Stack, queue_url: str) -> Sequence[tuple[str, str]]:
    """Takes what came since the last time: which alarm went to which state."""
    sqs = local.aws.client("sqs")
    found = []
    while messages := sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            said = json.loads(message["Body"])
            found.append((said["AlarmName"], said["NewStateValue"]))
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return found
