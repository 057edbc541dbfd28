"""The first deployment: the operator's setup in an account that has a rule with a dead-letter queue."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shlex
import subprocess

from . import build, driver, processes, report, samconfig, stack, stand_in
from .arn_targets import REPLAYED, Case

NAME = "genesys-crm"
STACK = f"{stack.STACK_NAME}-first"
ARRIVES_WITHIN_SECONDS = 30


def show(local: stack.Stack, program: pathlib.Path) -> list[str]:
    """Prepares the account, runs the setup before and after the deployment, and returns findings."""
    target, target_url = create_queue(local, f"{NAME}-events")
    queue, queue_url = create_queue(local, f"{NAME}-dead-letters")
    create_rule(local, target, queue)
    file = "eventbridge-rule-dlq.json"
    cases = [Case(f"first deployment {number}", file, REPLAYED, target=target) for number in range(3)]
    account = dataclasses.replace(local, outputs={"DeadLetterQueueUrl": queue_url})
    sent = driver.send(account, cases)
    folder = local.directory / "first-deployment"
    folder.mkdir()
    client = {"client_id": stand_in.CLIENT_ID, "client_secret": stand_in.CLIENT_SECRET}
    (folder / "client.json").write_text(json.dumps(client))

    def setup(*arguments: str, expected: int) -> None:
        print(f"$ genesys-replay setup {shlex.join(arguments)}", flush=True)
        command = [str(program), "setup", *arguments]
        env = {**local.aws.env, "USER": "operator"}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        print(done.stdout + done.stderr, flush=True)
        if done.returncode != expected:
            raise processes.StackError(f"genesys-replay setup: exit code {done.returncode}, not {expected}")

    report.heading(
        "The first deployment",
        note="A rule has a dead-letter queue with three events of Genesys Cloud. Nothing is deployed.",
    )
    hosts = [f"{name}={local.genesys.url}" for name in ("GenesysApiBaseUrl", "GenesysLoginBaseUrl")]
    given = [word for host in hosts for word in ("--parameter", host)]
    given += ["--parameter", f"Architecture={build.architecture()}", "--stack", STACK]
    setup(*given, "--client-file", "client.json", expected=1)
    setup(*given, "--client-file", "client.json", "--yes", expected=1)
    (folder / "client.json").unlink()
    print("$ sam deploy", flush=True)
    outputs = stack.deploy(local.aws, STACK, configured(folder))
    deployed = dataclasses.replace(local, outputs=outputs)
    setup("--yes", expected=0)
    # The first message was replayed by the setup, and the function drains the others.
    seen = driver.until_handled(deployed, sent)
    arrived = [json.loads(message["Body"])["id"] for message in local.aws.messages(target_url)]
    figures = [
        ("events replayed", sum(seen.ending(one) is not None for one in sent), len(sent)),
        ("events delivered", len(arrived), len(sent)),
        ("different events delivered", len(set(arrived)), len(sent)),
        ("messages left in the queue", len(local.aws.messages(queue_url)), 0),
    ]
    print(f"{len(arrived)} of {len(sent)} events were delivered.", flush=True)
    # The tests of the OAuth client belong to no dead letter.
    local.genesys.clear_calls()
    return [f"setup: {count} {name}, expected {expected}" for name, count, expected in figures if count != expected]


def configured(folder: pathlib.Path) -> dict[str, str]:
    """The parameters that the setup wrote for `sam deploy`."""
    overrides = samconfig.value((folder / samconfig.FILE).read_text(), "parameter_overrides")
    return dict(pair.split("=", 1) for pair in shlex.split(overrides))


def create_queue(local: stack.Stack, name: str) -> tuple[str, str]:
    """Creates a queue with the defaults of SQS and without a policy; returns its ARN and URL."""
    sqs = local.aws.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"], url


def create_rule(local: stack.Stack, target: str, queue: str) -> None:
    """Creates a rule for events of Genesys Cloud, with a dead-letter queue."""
    events = local.aws.client("events")
    pattern = json.dumps({"source": [{"prefix": "aws.partner/genesys.com"}]})
    events.put_rule(Name=NAME, EventPattern=pattern)
    events.put_targets(Rule=NAME, Targets=[{"Id": "crm", "Arn": target, "DeadLetterConfig": {"Arn": queue}}])
