"""The operator's command: a morning on which the target refuses everything, from `doctor` to `reconcile`."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shlex
import subprocess
from typing import Any

from . import processes, report, sending, stack
from .scenarios import Ending, Scenario

TARGET = "operator"
ARCHIVED = Ending(("archived TARGET_REFUSED",))
# Events of two kinds, and a message that is not an event.
EVENTS = [
    *(Scenario(f"operator {number}", "eventbridge-rule-dlq.json", ARCHIVED) for number in range(4)),
    *(Scenario(f"operator {number}", "queue-conversation.json", ARCHIVED) for number in range(2)),
]
MESSAGES = [*EVENTS, Scenario("operator", "not-an-event.json", Ending(("archived NOT_AN_EVENT",)))]


@dataclasses.dataclass(frozen=True)
class Desk:
    """The operator's command, its environment and the folder of its files."""

    program: pathlib.Path
    local: stack.Stack
    folder: pathlib.Path

    def run(self, *arguments: str, expected: int = 0) -> None:
        """Runs the command and shows its output; raises StackError at another exit code than the expected one."""
        print(f"$ genesys-replay {shlex.join(arguments)}", flush=True)
        function = self.local.outputs["ReplayFunctionName"]
        done = subprocess.run(
            [str(self.program), *arguments],
            cwd=self.folder,
            env={**self.local.aws.env, "USER": "operator", "GENESYS_REPLAY_FUNCTION": function},
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout + done.stderr, flush=True)
        if done.returncode != expected:
            raise processes.StackError(
                f"genesys-replay {arguments[0]} ended with exit code {done.returncode} instead of {expected}"
            )

    def read(self, file: str) -> Any:
        """A JSON file that the command wrote."""
        return json.loads((self.folder / file).read_text())


def show(local: stack.Stack, program: pathlib.Path) -> list[str]:
    """Deploys a stack of its own, plays the morning, and returns findings."""
    processes.say("deploying template.yaml once more, for the operator's command ...")
    url = f"{local.genesys.url}/targets/{TARGET}"
    local = local.deploy(f"{stack.STACK_NAME}-operator", ReplayTarget=url, IngestEndpoint="none", MaxReceives="200")
    folder = local.directory / "operator"
    folder.mkdir()
    desk = Desk(program, local, folder)
    report.heading(
        "The operator's command",
        note="A CRM refuses every event: look, understand, wait for its repair, replay.\n"
        "The environment names the function: GENESYS_REPLAY_FUNCTION.",
    )
    desk.run("doctor")
    poll(local, enabled=False)
    sent = sending.send(local, MESSAGES)
    desk.run("diagnose", "--html", "diagnosis.html", expected=1)
    local.genesys.replace_faults({"method": "POST", "path_contains": f"/targets/{TARGET}", "status": 422})
    poll(local, enabled=True)
    sending.until_handled(local, sent)
    local.genesys.clear_faults()
    before = len(deliveries(local))
    desk.run("plan", "--code", "TARGET_REFUSED", "--reason", "the CRM refused every event")
    desk.run("apply", "plan.json", "--yes")
    desk.run("report")
    desk.run("reconcile")
    delivered = [json.loads(call["body"])["id"] for call in deliveries(local)[before:]]
    figures = [
        ("diagnosed", desk.read("eventbridge_diagnostics.json")["totalFailures"], len(MESSAGES)),
        ("planned", len(desk.read("plan.json")["content"]["items"]), len(EVENTS)),
        ("delivered", len(delivered), len(EVENTS)),
        ("different events delivered", len(set(delivered)), len(EVENTS)),
    ]
    return [f"operator: {count} {name}, expected {expected}" for name, count, expected in figures if count != expected]


def poll(local: stack.Stack, *, enabled: bool) -> None:
    """Switches the event source mapping of the function on or off."""
    client = local.aws.client("lambda")
    function = local.outputs["ReplayFunctionName"]
    [mapping] = client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)


def deliveries(local: stack.Stack) -> list[dict[str, Any]]:
    """The calls at the operator's target."""
    return [call for call in local.genesys.calls() if call["path"] == f"/targets/{TARGET}"]
