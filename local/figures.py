"""How the function behaves when much goes wrong at once: three batches handed to it directly, measured."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from . import processes, report, stack
from .letters import DeadLetter

LETTER = "eventbridge-rule-dlq.json"


@dataclass(frozen=True)
class Figure:
    """What was measured, and whether the counts are as they must be; a slow machine may be slow."""

    batch: str
    measured: str
    demanded: str
    reached: bool


def show(local: stack.Stack) -> list[str]:
    """Measures, prints, and answers what was not reached."""
    processes.say("measuring three batches in which much goes wrong ...")
    pause_polling(local)
    figures = [rate_limited(local), dead_target(local), little_time(local)]
    report.heading("When much goes wrong at once")
    rows = [[figure.batch, figure.measured, figure.demanded] for figure in figures]
    report.table(["batch", "measured", "demanded"], rows)
    return [
        f"{figure.batch}: {figure.measured}, demanded {figure.demanded}" for figure in figures if not figure.reached
    ]


def rate_limited(local: stack.Stack) -> Figure:
    """Ten records whose target says `Retry-After: 300`."""
    queue = local.outputs["DeadLetterQueueUrl"]
    sqs = local.aws.client("sqs")
    letters = [DeadLetter.of(LETTER, purpose=f"rate-limited {number}") for number in range(10)]
    ids = {sqs.send_message(QueueUrl=queue, MessageBody=letter.body)["MessageId"] for letter in letters}
    received: dict[str, Any] = {}
    while ids - received.keys():
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, VisibilityTimeout=60)
        received |= {
            message["MessageId"]: message for message in answer.get("Messages", []) if message["MessageId"] in ids
        }
    records = [
        record(local, message_id, message["Body"], message["ReceiptHandle"]) for message_id, message in received.items()
    ]
    local.genesys.replace_faults(
        {"method": "POST", "path_contains": "/targets/", "status": 429, "headers": {"Retry-After": "300"}}
    )
    fresh_environment(local)
    seconds, returned = invoke(local, records)
    postponed = sum(wait > 240 for wait in waits(local, ids))
    return Figure(
        "10 records, target answers 429 with Retry-After: 300",
        f"answered in {seconds:.2f} s, {len(returned)} given back, {postponed} visibility changes",
        "10 changes (and under 1 s)",
        len(returned) == 10 and postponed == 10,
    )


def dead_target(local: stack.Stack) -> Figure:
    """A hundred records whose target drops every connection."""
    local.genesys.replace_faults({"method": "POST", "path_contains": "/targets/", "close": True})
    fresh_environment(local)
    before = deliveries(local)
    seconds, returned = invoke(local, direct_records(local, "dead target", 100))
    attempts = deliveries(local) - before
    return Figure(
        "100 records, dead target",
        f"{attempts} connection attempts, {len(returned)} given back, {seconds:.2f} s",
        "fewer than 30 attempts",
        0 < attempts < 30 and len(returned) == 100,
    )


def little_time(local: stack.Stack) -> Figure:
    """Sixty slow records and three seconds."""
    local.genesys.replace_faults({"method": "POST", "path_contains": "/targets/", "delay_ms": 700})
    fresh_environment(local, timeout=3)
    seconds, returned = invoke(local, direct_records(local, "little time", 60))
    table = local.aws.client("dynamodb").scan(TableName=local.outputs["LedgerTableName"], ConsistentRead=True)
    # A record whose last write came through just before it was cut off is returned all the same.
    delivered = sum(
        item["MessageId"]["S"].startswith("little time")
        and item["Status"]["S"] == "COMPLETED"
        and item["MessageId"]["S"] not in returned
        for item in table["Items"]
    )
    in_all = delivered + len(returned)
    return Figure(
        "60 records of 0.7 s each, 3 s left",
        f"answered in {seconds:.2f} s, {delivered} delivered + {len(returned)} given back = {in_all}",
        "before the deadline, 60 in all",
        in_all == 60,
    )


def pause_polling(local: stack.Stack) -> None:
    """Nobody but us hands records to the function now."""
    client = local.aws.client("lambda")
    function = local.outputs["ReplayFunctionName"]
    [mapping] = client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


def fresh_environment(local: stack.Stack, timeout: int = 60) -> None:
    """An execution environment that has started and whose breakers are closed."""
    client = local.aws.client("lambda")
    function = local.outputs["ReplayFunctionName"]
    client.update_function_configuration(FunctionName=function, Timeout=timeout, Description=f"fresh at {time.time()}")
    invoke(local, [])


def direct_records(local: stack.Stack, purpose: str, count: int) -> list[dict[str, Any]]:
    return [
        record(local, f"{purpose} {number}", DeadLetter.of(LETTER, purpose=f"{purpose} {number}").body, "none")
        for number in range(count)
    ]


def record(local: stack.Stack, message_id: str, body: str, receipt_handle: str) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": receipt_handle,
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(time.time() * 1000))},
        "messageAttributes": {},
        "eventSourceARN": local.outputs["DeadLetterQueueArn"],
    }


def invoke(local: stack.Stack, records: list[dict[str, Any]]) -> tuple[float, list[str]]:
    """How long the answer took, in seconds, and the ids in it."""
    started = time.monotonic()
    answer = local.aws.client("lambda").invoke(
        FunctionName=local.outputs["ReplayFunctionName"], Payload=json.dumps({"Records": records})
    )
    payload = json.load(answer["Payload"])
    seconds = time.monotonic() - started
    if "batchItemFailures" not in payload:
        raise processes.StackError(f"the function answered {payload}")
    return seconds, [failure["itemIdentifier"] for failure in payload["batchItemFailures"]]


def deliveries(local: stack.Stack) -> int:
    return sum(call["path"].startswith("/targets/") for call in local.genesys.calls())


def waits(local: stack.Stack, ids: set[str]) -> list[float]:
    """How long each of these messages stays away, in seconds."""
    held = local.aws.messages(local.outputs["DeadLetterQueueUrl"])
    return [message["VisibleAt"] - time.time() for message in held if message["MessageId"] in ids]
