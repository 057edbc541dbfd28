"""Targets by ARN: a second stack with ReplayTarget=original, in front of a Lambda function and a queue."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from typing import Any

from . import processes, report, sending, stack
from .letters import DeadLetter
from .scenarios import Ending, Scenario

NAME = "crm-by-arn"
FILE = "eventbridge-rule-dlq.json"
ARRIVES_WITHIN_SECONDS = 30
# A target that forwards its events to the stand-in, which lists them.
CODE = """
import json, os, urllib.request
def handler(event, context):
    data = json.dumps(event).encode()
    urllib.request.urlopen(urllib.request.Request(os.environ["URL"], data=data, method="POST"))
"""
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


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
    function = create_function(local)
    queue_url, queue = create_queue(local)
    original = local.deploy(
        f"{stack.STACK_NAME}-original", ReplayTarget="original", AllowedTargets=f"{function},{queue}"
    )
    cases = [
        Case("a Lambda function", FILE, Ending(("replayed",)), target=function),
        Case("an SQS queue", FILE, Ending(("replayed",)), target=queue),
        Case("a queue that is not allowed", FILE, Ending(("archived TARGET_NOT_ALLOWED",)), target=f"{queue}-other"),
    ]
    sent = sending.send(original, cases)
    seen = sending.until_handled(original, sent)
    events = {function: at_function(local), queue: at_queue(local, queue_url)}
    rows, problems = [], []
    for case, one in zip(cases, sent, strict=True):
        ending = seen.ending(one)
        outcomes = ending.outcomes if ending else ()
        arrived = json.loads(case.letter.body) in events.get(case.target, [])
        rows.append([case.name, " ".join(outcomes), "yes" if arrived else "-"])
        if outcomes != case.ending.outcomes or arrived != (outcomes == ("replayed",)):
            problems.append(f"{case.name}: outcomes are {outcomes}, arrived is {arrived}")
    report.heading("Dead letters that name their own target")
    report.table(["target", "outcome", "arrived"], rows)
    return problems


def create_function(local: stack.Stack) -> str:
    """Creates the target function; returns its ARN."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("index.py", CODE)
    role = local.aws.client("iam").create_role(RoleName=NAME, AssumeRolePolicyDocument=json.dumps(TRUST))
    function = local.aws.client("lambda").create_function(
        FunctionName=NAME,
        Runtime="python3.12",
        Handler="index.handler",
        Role=role["Role"]["Arn"],
        Code={"ZipFile": package.getvalue()},
        Environment={"Variables": {"URL": f"{local.genesys.url}/targets/lambda"}},
    )
    return function["FunctionArn"]


def create_queue(local: stack.Stack) -> tuple[str, str]:
    """Creates the target queue; returns its URL and its ARN."""
    sqs = local.aws.client("sqs")
    url = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def at_function(local: stack.Stack) -> list[Any]:
    """The events of the function; waits for the first, because the invocation is asynchronous."""

    def arrived() -> list[Any] | None:
        calls = [call for call in local.genesys.calls() if call["path"] == "/targets/lambda"]
        return [json.loads(call["body"]) for call in calls] or None

    try:
        return processes.wait_for("the event at the function", arrived, seconds=ARRIVES_WITHIN_SECONDS)
    except processes.StackError as error:
        processes.say(str(error))
        return []


def at_queue(local: stack.Stack, queue_url: str) -> list[Any]:
    """The events in the queue."""
    answer = local.aws.client("sqs").receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]
