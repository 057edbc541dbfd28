"""The whole local stack: AWS, Genesys Cloud, and template.yaml deployed between them."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from . import aws, build, http_request, ministack, processes, stand_in

STACK_NAME = "genesys-replay"
CODE_BUCKET = "genesys-replay-code"
# CloudFormation requires both, because of the roles and because SAM is a macro.
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
DEPLOYED_WITHIN_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Stack:
    """A running and deployed stack."""

    aws: aws.LocalAws
    genesys: stand_in.StandIn
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    # The folder of its logs; removed at the end of a run that succeeds.
    directory: pathlib.Path

    @property
    def target(self) -> str:
        """The URL that the function delivers to."""
        return self.parameters["ReplayTarget"]

    def deploy(self, name: str, **changes: str) -> Stack:
        """Creates or updates a stack with other parameters."""
        parameters = {**self.parameters, **changes}
        return dataclasses.replace(self, parameters=parameters, outputs=deploy(self.aws, name, parameters))

    def with_ingest(self, executable: pathlib.Path) -> Stack:
        """Updates the stack: ingest behind a function URL."""
        upload(self.aws, build.INGEST, executable)
        return self.deploy(STACK_NAME, IngestEndpoint="function-url")

    def disable_mappings(self) -> None:
        """Disables the event source mappings: no function receives messages."""
        functions = self.aws.client("lambda")
        for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


@contextlib.contextmanager
def directory(purpose: str) -> Iterator[pathlib.Path]:
    """A folder for one run. It stays after a failed run, because of its logs, but not after Ctrl-C."""
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
def running(directory: pathlib.Path, host: str = aws.LOOPBACK) -> Iterator[Stack]:
    """Builds and starts the first part on an address of this machine, and deploys template.yaml without ingest.

    At the end everything is stopped.
    """
    with build.running(build.FIRST) as programs, aws.running(directory, host) as cloud:
        executable = programs.wait(build.STAND_IN)
        with stand_in.running(executable, directory, aws.sealed_environment(directory), host) as genesys:
            replay = programs.wait(build.PROGRAMS[build.REPLAY])
            processes.say(f"local AWS at {cloud.endpoint}, stand-in Genesys Cloud and target at {genesys.url}")
            processes.say("deploying template.yaml ...")
            cloud.client("s3").create_bucket(Bucket=CODE_BUCKET)
            upload(cloud, build.REPLAY, replay)
            values = parameters(cloud, genesys)
            yield Stack(cloud, genesys, values, deploy(cloud, STACK_NAME, values), directory)


def parameters(cloud: aws.LocalAws, genesys: stand_in.StandIn) -> dict[str, str]:
    """The parameters of template.yaml that differ from their defaults."""

    def secret(name: str, content: str) -> str:
        return cloud.client("secretsmanager").create_secret(Name=name, SecretString=content)["ARN"]

    credentials = {"client_id": stand_in.CLIENT_ID, "client_secret": stand_in.CLIENT_SECRET}
    return {
        "Architecture": build.architecture(),
        "GenesysApiBaseUrl": genesys.url,
        "GenesysLoginBaseUrl": genesys.url,
        "GenesysSecretArn": secret("genesys-cloud", json.dumps(credentials)),
        "IngestSecretArn": secret("senders", http_request.SECRET),
        "ReplayTarget": f"{genesys.url}/targets/crm",
        # Instead of 200, so that a dead letter is soon exhausted.
        "MaxReceives": "3",
    }


def upload(cloud: aws.LocalAws, function: str, executable: pathlib.Path) -> None:
    """Stores a program as a function's package, uncompressed, because compression takes longer than the upload."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_STORED) as archive:
        archive.write(executable, "bootstrap")
    cloud.client("s3").put_object(Bucket=CODE_BUCKET, Key=function, Body=package.getvalue())


def deploy(cloud: aws.LocalAws, name: str, values: Mapping[str, str]) -> dict[str, str]:
    """Creates or updates a stack and returns its outputs.

    With CloudFormation's own calls: 0.2 s, where sam deploy takes 8 s.
    """
    code = {function: f"s3://{CODE_BUCKET}/{function}" for function in build.PROGRAMS}
    template = ministack.template(build.TEMPLATE, code)
    cloud.client("s3").put_object(Bucket=CODE_BUCKET, Key="template", Body=json.dumps(template))
    client = cloud.client("cloudformation")
    arguments: dict[str, Any] = {
        "StackName": name,
        "TemplateURL": f"{cloud.endpoint}/{CODE_BUCKET}/template",
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        "Capabilities": CAPABILITIES,
    }
    try:
        client.create_stack(**arguments)
    except client.exceptions.AlreadyExistsException:
        client.update_stack(**arguments)

    def ended() -> dict[str, Any] | None:
        [found] = client.describe_stacks(StackName=name)["Stacks"]
        return None if found["StackStatus"].endswith("_IN_PROGRESS") else found

    stack = processes.wait_for(f"the stack {name}", ended, seconds=DEPLOYED_WITHIN_SECONDS)
    if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        events = client.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [event["ResourceStatusReason"] for event in events if event["ResourceStatus"].endswith("FAILED")]
        raise processes.StackError("\n    ".join([f"the stack {name} is {stack['StackStatus']}:", *reasons]))
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    ministack.deployed(cloud, outputs, values)
    return outputs
