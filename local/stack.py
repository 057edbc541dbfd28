"""The whole local stack: AWS, Genesys Cloud, and template.yaml deployed between them."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from . import aws, bridge, build, processes, signature, stand_in

STACK_NAME = "genesys-replay"


@dataclass(frozen=True)
class Stack:
    """A running and deployed stack."""

    aws: aws.LocalAws
    genesys: stand_in.StandIn
    # What the template was told, and what it answered.
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    # When it was, in seconds since the epoch: no dead letter came before.
    deployed_at: float
    # The template of the built function.
    template: pathlib.Path
    # Where its logs are; removed at the end of a run that succeeds.
    directory: pathlib.Path

    @property
    def target(self) -> str:
        """Where the function delivers."""
        return target_of(self.genesys)


@contextlib.contextmanager
def directory(purpose: str) -> Iterator[pathlib.Path]:
    """A directory for one run; kept for its logs when the run fails, but not when somebody ends it."""
    build.WORKSPACE.mkdir(exist_ok=True)
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=build.WORKSPACE))
    keep = False
    try:
        yield path
    except Exception:
        keep = True
        processes.say(f"the logs are in {path.relative_to(build.ROOT)}")
        raise
    finally:
        shutil.rmtree(path / "tmp" if keep else path, ignore_errors=True)


@contextlib.contextmanager
def running(directory: pathlib.Path) -> Iterator[Stack]:
    """Builds, starts and deploys everything; on leaving, nothing of it runs any more."""
    processes.say("building the functions and the stand-in Genesys Cloud ...")
    template = bridge.template(build.functions(directory))
    executable = build.stand_in()
    env = aws.sealed_environment(directory)
    with aws.running(directory) as cloud, stand_in.running(executable, directory, env) as genesys:
        processes.say(f"local AWS at {cloud.endpoint}, stand-in Genesys Cloud and target at {genesys.url}")
        processes.say("deploying template.yaml with sam deploy ...")
        credentials = {"client_id": stand_in.CLIENT_ID, "client_secret": stand_in.CLIENT_SECRET}
        genesys_secret = secret(cloud, "genesys-cloud", json.dumps(credentials))
        values = parameters(genesys, genesys_secret, secret(cloud, "senders", signature.SECRET))
        outputs = deploy(template, directory, cloud, values)
        bridge.deployed(cloud, outputs)
        yield Stack(cloud, genesys, values, outputs, time.time(), template, directory)


def target_of(genesys: stand_in.StandIn) -> str:
    """A delivery target of the stand-in."""
    return f"{genesys.url}/targets/crm"


def secret(cloud: aws.LocalAws, name: str, content: str) -> str:
    """Stores a secret, as a person does, and returns its ARN."""
    return cloud.client("secretsmanager").create_secret(Name=name, SecretString=content)["ARN"]


def parameters(genesys: stand_in.StandIn, genesys_secret: str, senders_secret: str) -> dict[str, str]:
    """What template.yaml has to be told here; everything else keeps its default, as in a real account."""
    return {
        "Architecture": build.architecture(),
        "GenesysApiBaseUrl": genesys.url,
        "GenesysLoginBaseUrl": genesys.url,
        "GenesysSecretArn": genesys_secret,
        "IngestEndpoint": "function-url",
        "IngestSecretArn": senders_secret,
        "ReplayTarget": target_of(genesys),
        # Instead of 200, so that nobody has to wait long for a dead letter to run out of them.
        "MaxReceives": "3",
    }


def deploy(
    template: pathlib.Path,
    directory: pathlib.Path,
    cloud: aws.LocalAws,
    values: Mapping[str, str],
    name: str = STACK_NAME,
) -> dict[str, str]:
    """Deploys with `sam deploy` under a name and returns the stack's outputs."""
    command = [
        *[
            str(build.SAM_BIN / "sam"),
            "deploy",
            "--template-file",
            str(template),
            "--stack-name",
            name,
            "--region",
            aws.REGION,
        ],
        *[
            "--resolve-s3",
            "--capabilities",
            "CAPABILITY_IAM",
            "--no-confirm-changeset",
            "--no-progressbar",
            *build.NO_SAM_CONFIG,
        ],
        *["--parameter-overrides", *(f"{name}={value}" for name, value in values.items())],
    ]
    # How often sam asks whether the stack is there, in seconds; its default is right for an AWS that takes minutes.
    env = {**cloud.env, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.3"}
    processes.run(command, env=env, log=directory / f"deploy-{name}.log")
    [stack] = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
