"""The operator's command, from `doctor` to `reconcile`, after a target refused every event."""

from __future__ import annotations

import json
import pathlib
import shlex
import subprocess
from typing import Any

from . import driver, processes, report, stack
from .scenarios import Scenario, archived

TARGET = "operator"
# Events of two kinds, and a message that is not an event.
FILES = ["eventbridge-rule-dlq.json"] * 4 + ["queue-conversation.json"] * 2
EVENTS = [Scenario(f"operator {number}", file, archived("TARGET_REFUSED")) for number, file in enumerate(FILES)]
MESSAGES = [*EVENTS, Scenario("operator", "not-an-event.json", archived("NOT_AN_EVENT"))]


def show(local: stack.Stack, program: pathlib.Path) -> list[str]:
    """Deploys a separate stack, runs the commands, and returns findings."""
    processes.say("deploying template.yaml once more, for the operator's command ...")
    url = f"{local.genesys.url}/targets/{TARGET}"
    local = local.deploy(f"{stack.STACK_NAME}-operator", ReplayTarget=url, IngestEndpoint="none", MaxReceives="200")
    folder = local.directory / "operator"
    folder.mkdir()
    env = {**local.aws.env, "USER": "operator", "GENESYS_REPLAY_FUNCTION": local.outputs["ReplayFunctionName"]}

    def run(*arguments: str, expected: int = 0) -> None:
        print(f"$ genesys-replay {shlex.join(arguments)}", flush=True)
        command = [str(program), *arguments]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        print(done.stdout + done.stderr, flush=True)
        if done.returncode != expected:
            raise processes.StackError(f"genesys-replay {arguments[0]}: exit code {done.returncode}, not {expected}")

    report.heading(
        "The operator's command",
        note="A CRM refuses every event: examine, find the cause, wait for the repair, replay.\n"
        "The environment names the function: GENESYS_REPLAY_FUNCTION.",
    )
    run("doctor")
    poll(local, enabled=False)
    sent = driver.send(local, MESSAGES)
    run("diagnose", "--html", "diagnosis.html", expected=1)
    local.genesys.clear_faults()
    local.genesys.add_fault({"method": "POST", "path_contains": f"/targets/{TARGET}", "status": 422})
    poll(local, enabled=True)
    driver.until_handled(local, sent)
    local.genesys.clear_faults()
    before = len(deliveries(local))
    run("plan", "--code", "TARGET_REFUSED", "--reason", "the CRM refused every event")
    run("apply", "plan.json", "--yes")
    run("report")
    run("reconcile")
    delivered = [json.loads(call["body"])["id"] for call in deliveries(local)[before:]]
    diagnosis = json.loads((folder / "eventbridge_diagnostics.json").read_text())
    plan = json.loads((folder / "plan.json").read_text())
    figures = [
        ("diagnosed", diagnosis["totalFailures"], len(MESSAGES)),
        ("planned", len(plan["content"]["items"]), len(EVENTS)),
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
