"""Targets by ARN: the stack once more with ReplayTarget=original, in front of a Lambda function and a queue."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from . import bridge, processes, report, sending, stack
from .letters import DeadLetter

FUNCTION = "crm-sync"
QUEUE = "crm-events"

# A target that hands on what it gets, so that it can be seen.
CODE = """
import json, os, urllib.request
def handler(event, context):
    data = json.dumps(event).encode()
    urllib.request.urlopen(urllib.request.Request(os.environ["URL"], data=data, method="POST"))
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """A dead letter that names its own target."""

    name: str
    target: str
    expected: str

    @property
    def letter(self) -> DeadLetter:
        letter = DeadLetter.of("eventbridge-rule-dlq.json", purpose=self.name)
        return DeadLetter(letter.body, {**letter.attributes, "TARGET_ARN": self.target})


def show(local: stack.Stack) -> list[str]:
    """Deploys, sends, prints what arrived; answers what is not as it must be."""
    function, queue_url, queue = create_targets(local)
    processes.say("deploying template.yaml once more, with ReplayTarget=original ...")
    outputs = stack.deploy(
        local.template,
        local.directory,
        local.aws,
        # What comes over HTTP names no target: the template refuses the two together.
        {
            **local.parameters,
            "ReplayTarget": "original",
            "AllowedTargets": f"{function},{queue}",
            "IngestEndpoint": "none",
        },
        name=f"{stack.STACK_NAME}-original",
    )
    bridge.deployed(local.aws, outputs)
    original = dataclasses.replace(local, outputs=outputs)
    cases = [
        Case("a Lambda function", function, "replayed"),
        Case("an SQS queue", queue, "replayed"),
        Case("one that is not allowed", f"{queue}-of-somebody-else", "archived TARGET_NOT_ALLOWED"),
    ]
    outcomes = send(original, cases)
    arrived = {function: at_function(local), queue: at_queue(local, queue_url)}
    report.heading("Dead letters that name their own target")
    report.table(
        ["target", "outcome", "arrived"],
        [[case.name, outcomes[case.name], "yes" if arrives(case, arrived) else "-"] for case in cases],
    )
    return [
        f"{case.name}: outcome is {outcomes[case.name]!r}, expected {case.expected!r}"
        for case in cases
        if outcomes[case.name] != case.expected
    ] + [
        f"{case.name}: the event {'did not arrive' if case.expected == 'replayed' else 'arrived'}"
        for case in cases
        if arrives(case, arrived) != (case.expected == "replayed")
    ]


def create_targets(local: stack.Stack) -> tuple[str, str, str]:
    """The function's ARN, the queue's URL and its ARN."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("index.py", CODE)
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    role = local.aws.client("iam").create_role(RoleName=FUNCTION, AssumeRolePolicyDocument=json.dumps(trust))
    function = local.aws.client("lambda").create_function(
        FunctionName=FUNCTION,
        Runtime="python3.12",
        Handler="index.handler",
        Role=role["Role"]["Arn"],
        Code={"ZipFile": package.getvalue()},
        Environment={"Variables": {"URL": f"{local.genesys.url}/targets/lambda"}},
    )["FunctionArn"]
    sqs = local.aws.client("sqs")
    queue_url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]
    return function, queue_url, attributes["QueueArn"]


def send(local: stack.Stack, cases: Sequence[Case]) -> dict[str, str]:
    """Puts the dead letters on the queue and waits for the verdict on each."""
    client = local.aws.client("sqs")
    ids = {
        case.name: client.send_message(
            QueueUrl=local.outputs["DeadLetterQueueUrl"],
            MessageBody=case.letter.body,
            MessageAttributes=case.letter.message_attributes(),
        )["MessageId"]
        for case in cases
    }
    observation = sending.until_handled(local, dict.fromkeys(ids.values(), 1))
    return {name: verdict(observation.verdicts[message_id]) for name, message_id in ids.items()}


def verdict(lines: Sequence[Mapping[str, Any]]) -> str:
    """The outcome of the first receive, with its failure code if it has one."""
    if not lines:
        return "no verdict"
    return " ".join(filter(None, [lines[0]["outcome"], lines[0].get("failure_code")]))


def at_function(local: stack.Stack) -> list[Any]:
    """The events that the function got; its invocation is asynchronous, so they may be on their way."""

    def arrived() -> list[Any] | None:
        calls = [call for call in local.genesys.calls() if call["path"] == "/targets/lambda"]
        return [json.loads(call["body"]) for call in calls] or None

    try:
        return processes.wait_for("the event at the function", arrived, seconds=30)
    except processes.StackError as error:
        processes.say(str(error))
        return []


def at_queue(local: stack.Stack, queue_url: str) -> list[Any]:
    """The events in the queue."""
    answer = local.aws.client("sqs").receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def arrives(case: Case, arrived: Mapping[str, list[Any]]) -> bool:
    """Whether the event is where its dead letter said."""
    return json.loads(case.letter.body) in arrived.get(case.target, [])
