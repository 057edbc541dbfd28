"""The operator's command: a morning on which the target refuses everything, from the first look to the report."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any

from . import bridge, build, processes, report, stack
from .letters import DeadLetter

# What is in the queue that morning: of two kinds, and one that no target would take.
LETTERS = [
    *(("eventbridge-rule-dlq.json", f"operator {number}") for number in range(4)),
    *(("queue-conversation.json", f"operator {number}") for number in range(2)),
    ("not-an-event.json", "operator"),
]
# Those that can be delivered.
EVENTS = 6
TARGET = "operator"


@dataclasses.dataclass(frozen=True)
class Desk:
    """Where the operator sits: the command, what it is told every time, and a folder for its files."""

    program: pathlib.Path
    local: stack.Stack
    folder: pathlib.Path

    def run(self, *arguments: str, expected: int) -> str:
        """Runs the command, shows what it says, and returns its data."""
        print(f"$ genesys-replay {shlex.join(arguments)}", flush=True)
        done = subprocess.run(
            [str(self.program), *arguments],
            cwd=self.folder,
            env=self.local.aws.env
            | {"USER": "operator", "GENESYS_REPLAY_FUNCTION": self.local.outputs["ReplayFunctionName"]},
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout + done.stderr, flush=True)
        if done.returncode != expected:
            raise processes.StackError(
                f"genesys-replay {arguments[0]} ended with exit code {done.returncode} instead of {expected}"
            )
        return done.stdout


def show(local: stack.Stack) -> list[str]:
    """Deploys once more, plays the morning, and answers what is not as it must be."""
    processes.say("building the operator's command, and deploying template.yaml once more for it ...")
    program = build.command()
    url = f"{local.genesys.url}/targets/{TARGET}"
    outputs = stack.deploy(
        local.template,
        local.directory,
        local.aws,
        {**local.parameters, "ReplayTarget": url, "IngestEndpoint": "none", "MaxReceives": "200"},
        name=f"{stack.STACK_NAME}-operator",
    )
    bridge.deployed(local.aws, outputs)
    folder = local.directory / "operator"
    folder.mkdir()
    desk = Desk(program, dataclasses.replace(local, outputs=outputs), folder)
    report.heading(
        "The operator's command",
        note="A CRM that refuses what it gets: look, understand, wait for its repair, replay on purpose.\n"
        "The environment names the function: GENESYS_REPLAY_FUNCTION.",
    )
    desk.run("doctor", expected=0)
    poll(desk.local, enabled=False)
    send(desk.local)
    desk.run("diagnose", "--html", "diagnosis.html", expected=1)
    local.genesys.replace_faults({"method": "POST", "path_contains": f"/targets/{TARGET}", "status": 422})
    poll(desk.local, enabled=True)
    until_archived(desk.local, len(LETTERS))
    # It was repaired.
    local.genesys.replace_faults({"method": "POST", "path_contains": "/nowhere", "status": 500})
    before = deliveries(local)
    desk.run("plan", "--code", "TARGET_REFUSED", "--reason", "the CRM refused what it got", expected=0)
    desk.run("apply", "plan.json", "--yes", expected=0)
    desk.run("report", expected=0)
    desk.run("reconcile", expected=0)
    return problems(desk, deliveries(local)[len(before) :])


def problems(desk: Desk, delivered: Sequence[dict[str, Any]]) -> list[str]:
    """What the files and the target say that must not be so."""
    diagnosis = json.loads((desk.folder / "eventbridge_diagnostics.json").read_text())
    plan = json.loads((desk.folder / "plan.json").read_text())
    ids = [json.loads(call["body"])["id"] for call in delivered]
    figures = [
        ("diagnosed", diagnosis["totalFailures"], len(LETTERS)),
        ("planned", len(plan["content"]["items"]), EVENTS),
        ("delivered", len(ids), EVENTS),
        ("different events delivered", len(set(ids)), EVENTS),
    ]
    return [f"operator: {count} {what}, expected {expected}" for what, count, expected in figures if count != expected]


def send(local: stack.Stack) -> None:
    """Puts the dead letters on the queue."""
    client = local.aws.client("sqs")
    for file, purpose in LETTERS:
        letter = DeadLetter.of(file, purpose=purpose)
        client.send_message(
            QueueUrl=local.outputs["DeadLetterQueueUrl"],
            MessageBody=letter.body,
            MessageAttributes=letter.message_attributes(),
        )


def poll(local: stack.Stack, *, enabled: bool) -> None:
    """Switches the event source mapping of the function on or off."""
    client = local.aws.client("lambda")
    [mapping] = client.list_event_source_mappings(FunctionName=local.outputs["ReplayFunctionName"])[
        "EventSourceMappings"
    ]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)


def until_archived(local: stack.Stack, count: int) -> None:
    """Waits until so many dead letters are in the archive."""
    client = local.aws.client("s3")

    def archived() -> bool | None:
        listed = client.list_objects_v2(Bucket=local.outputs["ArchiveBucketName"])
        return listed["KeyCount"] >= count or None

    processes.wait_for("the dead letters in the archive", archived, seconds=90)


def deliveries(local: stack.Stack) -> list[dict[str, Any]]:
    """What the target got."""
    return [call for call in local.genesys.calls() if call["path"] == f"/targets/{TARGET}"]
