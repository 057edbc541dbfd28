"""Targets by ARN: a second stack with ReplayTarget=original, in front of targets of several AWS services."""

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
BUCKET = "crm-by-arn-records"
API_KEY = "a-key-of-the-demo"
LOG_GROUP = "/aws/events/crm-by-arn"
ARRIVES_WITHIN_SECONDS = 30
# Prints its event, so that the log has it.
CODE = "import json\ndef handler(event, _): print(json.dumps(event))"
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
REPLAYED, REFUSED = Ending(("replayed",)), Ending(("archived TARGET_NOT_ALLOWED",))


@dataclasses.dataclass(frozen=True)
class Case(Scenario):
    """A dead letter that names its own target."""

    target: str = ""
    rule: str = ""

    @property
    def letter(self) -> DeadLetter:
        letter = super().letter
        changed = {"TARGET_ARN": self.target} | ({"RULE_ARN": self.rule} if self.rule else {})
        return DeadLetter(letter.body, {**letter.attributes, **changed})


@dataclasses.dataclass(frozen=True)
class Moved:
    """A queue that its events do not name yet, and the function that archived one of them."""

    function: str
    old: str
    new: str
    new_url: str


def show(local: stack.Stack) -> tuple[Moved, list[str]]:
    """Deploys, sends, prints the outcomes and the arrivals; returns the archived event's queue and findings."""
    processes.say("deploying template.yaml once more, with ReplayTarget=original ...")
    sqs = local.aws.client("sqs")
    url = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    function = create_function(local)
    stream, firehose, group = create_stream(local), create_firehose(local), create_log_group(local)
    api_destination = create_api_destination(local)
    rule = create_rule(local, api_destination)
    allowed = ",".join([function, queue, api_destination, stream, firehose, group])
    changes = {"ReplayTarget": "original", "AllowedTargets": allowed, "ConnectionNames": NAME}
    original = local.deploy(f"{stack.STACK_NAME}-original", **changes)
    file = "eventbridge-rule-dlq.json"
    cases = [
        Case("a Lambda function", file, REPLAYED, target=function),
        Case("an SQS queue", file, REPLAYED, target=queue),
        Case("an API destination with a key", file, REPLAYED, target=api_destination, rule=rule),
        Case("a Kinesis data stream", file, REPLAYED, target=stream),
        Case("a Firehose stream", file, REPLAYED, target=firehose),
        Case("a log group", file, REPLAYED, target=group),
        Case("a queue that is not allowed", file, REFUSED, target=f"{queue}-other"),
    ]
    sent = driver.send(original, cases)
    seen = driver.until_handled(original, sent)
    arrived = [
        processes.wait_for(
            "the event at the function",
            lambda: events_in_log(local, f"/aws/lambda/{NAME}"),
            seconds=ARRIVES_WITHIN_SECONDS,
        ),
        [json.loads(message["Body"]) for message in local.aws.messages(url)],
        requests(local),
        records(local),
        objects(local),
        events_in_log(local, LOG_GROUP) or [],
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
    moved = Moved(original.outputs["ReplayFunctionName"], cases[-1].target, queue, url)
    return moved, problems


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


def create_api_destination(local: stack.Stack) -> str:
    """Creates an API destination with an API key, whose endpoint is the stand-in; returns its ARN."""
    events = local.aws.client("events")
    key = {"ApiKeyName": "X-Api-Key", "ApiKeyValue": API_KEY}
    connection = events.create_connection(
        Name=NAME, AuthorizationType="API_KEY", AuthParameters={"ApiKeyAuthParameters": key}
    )
    # In AWS, EventBridge creates this secret.
    secret = json.dumps({"api_key_name": "X-Api-Key", "api_key_value": API_KEY})
    local.aws.client("secretsmanager").create_secret(Name=f"events!connection/{NAME}", SecretString=secret)
    created = events.create_api_destination(
        Name=NAME,
        ConnectionArn=connection["ConnectionArn"],
        InvocationEndpoint=f"{local.genesys.url}/targets/*",
        HttpMethod="POST",
    )
    return created["ApiDestinationArn"]


def create_rule(local: stack.Stack, api_destination: str) -> str:
    """Creates a rule whose target is the API destination, with a path parameter; returns its ARN."""
    events = local.aws.client("events")
    pattern = json.dumps({"source": [{"prefix": "aws.partner/genesys.com"}]})
    rule = events.put_rule(Name=NAME, EventPattern=pattern)["RuleArn"]
    target = {"Id": NAME, "Arn": api_destination, "RoleArn": f"arn:aws:iam::000000000000:role/{NAME}"}
    parameters = {"PathParameterValues": ["api-destination"]}
    events.put_targets(Rule=NAME, Targets=[{**target, "HttpParameters": parameters}])
    return rule


def requests(local: stack.Stack) -> list[Any]:
    """The events that the endpoint of the API destination received with the API key."""
    calls = [call for call in local.genesys.calls() if call["path"] == "/targets/api-destination"]
    return [json.loads(call["body"]) for call in calls if call["headers"].get("x-api-key") == API_KEY]


def create_stream(local: stack.Stack) -> str:
    """Creates a Kinesis data stream; returns its ARN."""
    kinesis = local.aws.client("kinesis")
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    return kinesis.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]["StreamARN"]


def create_firehose(local: stack.Stack) -> str:
    """Creates a Firehose stream that stores records in a bucket; returns its ARN."""
    local.aws.client("s3").create_bucket(Bucket=BUCKET)
    destination = {"BucketARN": f"arn:aws:s3:::{BUCKET}", "RoleARN": "arn:aws:iam::000000000000:role/firehose"}
    created = local.aws.client("firehose").create_delivery_stream(
        DeliveryStreamName=NAME, ExtendedS3DestinationConfiguration=destination
    )
    return created["DeliveryStreamARN"]


def create_log_group(local: stack.Stack) -> str:
    """Creates a log group; returns its ARN as in the target of a rule."""
    logs = local.aws.client("logs")
    logs.create_log_group(logGroupName=LOG_GROUP)
    [found] = logs.describe_log_groups(logGroupNamePrefix=LOG_GROUP)["logGroups"]
    return found["arn"].removesuffix(":*")


def records(local: stack.Stack) -> list[Any]:
    """The events in the data stream."""
    kinesis = local.aws.client("kinesis")
    [shard] = kinesis.list_shards(StreamName=NAME)["Shards"]
    iterator = kinesis.get_shard_iterator(StreamName=NAME, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    return [json.loads(record["Data"]) for record in kinesis.get_records(ShardIterator=iterator)["Records"]]


def objects(local: stack.Stack) -> list[Any]:
    """The events that the Firehose stream stored."""
    s3 = local.aws.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return [json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in keys]


def events_in_log(local: stack.Stack, group: str) -> list[Any] | None:
    """The events in a log group; None before the first."""
    logs = local.aws.client("logs")
    try:
        events = logs.filter_log_events(logGroupName=group)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return None
    return [json.loads(event["message"]) for event in events if event["message"].startswith("{")] or None
