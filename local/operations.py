"""The operator's command: a target refuses every event, and another target moves."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import subprocess
from typing import Any

from . import arn_targets, driver, processes, report, stack
from .scenarios import Scenario, archived

TARGET = "operator"
# Events of two kinds, and a message that is not an event.
FILES = ["eventbridge-rule-dlq.json"] * 4 + ["queue-conversation.json"] * 2
EVENTS = [Scenario(f"operator {number}", file, archived("TARGET_REFUSED")) for number, file in enumerate(FILES)]
MESSAGES = [*EVENTS, Scenario("operator", "not-an-event.json", archived("NOT_AN_EVENT"))]


QUEUE_ID = re.compile(r'"queueId": *"([^"]+)"')


def show(local: stack.Stack, moved: arn_targets.Moved, program: pathlib.Path) -> list[str]:
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
        note="A CRM refuses every event: stop, examine, find the cause, wait for the repair, replay.\n"
        "The environment names the function: GENESYS_REPLAY_FUNCTION.",
    )
    letters = [event.letter for event in EVENTS]
    [queue] = set(QUEUE_ID.findall(letters[-1].body))
    run("doctor")
    run("pause", "--reason", "the CRM refuses every event", "--yes")
    sent = driver.send(local, MESSAGES)
    run("status", expected=1)
    run("diagnose", "--html", "diagnosis.html", expected=1)
    local.genesys.clear_faults()
    local.genesys.add_fault({"method": "POST", "path_contains": f"/targets/{TARGET}", "status": 422})
    run("resume", "--reason", "find the cause", "--yes")
    driver.until_handled(local, sent)
    run("trace", "--interaction", str(letters[0].value("detail.eventBody.conversationId")))
    run("report", "--since", "1h", "--original-target", letters[0].attributes["TARGET_ARN"])
    reason = ("--reason", "the CRM refused every event")
    run("plan", "--where", f"$..queueId={queue}", *reason, "--out", "queue.json")
    # The CRM is not repaired yet.
    run("apply", "queue.json", "--yes", expected=1)
    local.genesys.clear_faults()
    before = len(deliveries(local))
    (folder / "ids.txt").write_text(f"{letters[0].event_id}\n")
    run("discard", "--ids", "ids.txt", "--reason", "test call", "--local", "--yes")
    run("plan", "--code", "TARGET_REFUSED", *reason, "--local")
    run("apply", "plan.json", "--yes")
    run("report")
    run("reconcile")
    run("restore", "--ids", "ids.txt", "--reason", "a real call", "--local", "--yes")
    delivered = [json.loads(call["body"])["id"] for call in deliveries(local)[before:]]
    diagnosis = json.loads((folder / "eventbridge_diagnostics.json").read_text())
    plan = json.loads((folder / "plan.json").read_text())

    report.heading(
        "A target that moved",
        note="The function may not deliver to the old queue. The environment names the function of that stack.",
    )
    env["GENESYS_REPLAY_FUNCTION"] = moved.function
    run("plan", "--redirect", f"{moved.old}={moved.new}", "--reason", "the queue moved", "--out", "moved.json")
    run("apply", "moved.json", "--yes")
    figures = [
        ("diagnosed", diagnosis["totalFailures"], len(MESSAGES)),
        ("planned", len(plan["content"]["items"]), len(EVENTS) - 1),
        ("delivered", len(delivered), len(EVENTS) - 1),
        ("different events delivered", len(set(delivered)), len(EVENTS) - 1),
        ("discarded events delivered", delivered.count(letters[0].event_id), 0),
        ("events in the new queue", len(local.aws.messages(moved.new_url)), 2),
    ]
    return [f"operator: {count} {name}, expected {expected}" for name, count, expected in figures if count != expected]


def deliveries(local: stack.Stack) -> list[dict[str, Any]]:
    """The calls at the operator's target."""
    return [call for call in local.genesys.calls() if call["path"] == f"/targets/{TARGET}"]
