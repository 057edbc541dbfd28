"""Targets by ARN: a second stack with ReplayTarget=original, in front of a Lambda function and a queue."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from typing import Any

from . import driver, processes, report, stack
from .messages import DeadLetter
from .scenarios import Ending, Scenario

NAME = "crm-by-arn"
ARRIVES_WITHIN_SECONDS = 30
# Prints its event, so that the log has it.
CODE = "import json\ndef handler(event, _): print(json.dumps(event))"
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
REPLAYED, REFUSED = Ending(("replayed",)), Ending(("archived TARGET_NOT_ALLOWED",))


@dataclasses.dataclass(frozen=True)
class Case(Scenario):
    """A dead letter that names its own target."""

    target: str = ""

    @property
    def letter(self) -> DeadLetter:
        letter = super().letter
        return DeadLetter(letter.body, {**letter.attributes, "TARGET_ARN": self.target})


def show(local: stack.Stack) -> list[str]:
    """Deploys, sends, prints the outcomes and the arrivals; returns findings."""
    processes.say("deploying template.yaml once more, with ReplayTarget=original ...")
    sqs = local.aws.client("sqs")
    url = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    function = create_function(local)
    original = local.deploy(
        f"{stack.STACK_NAME}-original", ReplayTarget="original", AllowedTargets=f"{function},{queue}"
    )
    file = "eventbridge-rule-dlq.json"
    cases = [
        Case("a Lambda function", file, REPLAYED, target=function),
        Case("an SQS queue", file, REPLAYED, target=queue),
        Case("a queue that is not allowed", file, REFUSED, target=f"{queue}-other"),
    ]
    sent = driver.send(original, cases)
    seen = driver.until_handled(original, sent)
    arrived = [
        processes.wait_for("the event at the function", lambda: events_in_log(local), seconds=ARRIVES_WITHIN_SECONDS),
        [json.loads(message["Body"]) for message in local.aws.messages(url)],
        [],
    ]
    rows, problems = [], []
    for case, one, events in zip(cases, sent, arrived, strict=True):
        ending = seen.ending(one)
        outcomes = ending.outcomes if ending else ()
        has_arrived = json.loads(case.letter.body) in events
        rows.append([case.name, " ".join(outcomes), "yes" if has_arrived else "-"])
        if outcomes != case.ending.outcomes or has_arrived != (case.ending == REPLAYED):
            problems.append(f"{case.name}: outcomes are {outcomes}, arrived is {has_arrived}")
    report.heading("Dead letters that name their own target")
    report.table(["target", "outcome", "arrived"], rows)
    return problems


def create_function(local: stack.Stack) -> str:
    """Creates the target function; returns its ARN."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("index.py", CODE)
    trust = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    role = local.aws.client("iam").create_role(RoleName=NAME, AssumeRolePolicyDocument=trust)
    function = local.aws.client("lambda").create_function(
        FunctionName=NAME,
        Runtime="python3.12",
        Handler="index.handler",
        Role=role["Role"]["Arn"],
        Code={"ZipFile": package.getvalue()},
    )
    return function["FunctionArn"]


def events_in_log(local: stack.Stack) -> list[Any] | None:
    """The events that the target function printed; None before the first."""
    logs = local.aws.client("logs")
    try:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{NAME}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return None
    return [json.loads(event["message"]) for event in events if event["message"].startswith("{")] or None
