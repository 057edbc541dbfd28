"""make invoke: one event of events/ through its function, in the local stack.

The function runs in AWS's Runtime Interface Emulator, or with Docker in AWS's image (`sam local invoke`).
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from . import aws, build, docker, entry, http_request, ministack, processes, report, snapshot, stack

# The output that names each function, and the member that its answer has.
FUNCTIONS = {
    build.REPLAY: ("ReplayFunctionName", "batchItemFailures"),
    build.INGEST: ("IngestFunctionName", "statusCode"),
}
# AWS's emulator comes with aws-sam-cli.
EMULATORS = {"x86_64": "aws-lambda-rie-x86_64", "arm64": "aws-lambda-rie-arm64"}


# The outcomes of a dead letter that was not handled. The local stack has no faults, so its address must be wrong.
UNHANDLED = {"deferred", "not_attempted", "returned"}
SERVER_ERROR = 500


def main() -> int:
    arguments = parse()
    event = arguments.event.read_bytes()
    function = function_for(event)
    output, member = FUNCTIONS[function]
    host = aws.LOOPBACK
    if arguments.through == "docker":
        host = docker.bridge_address()
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"{os.environ['NO_PROXY']},{host}"
    with stack.directory("invoke") as directory, stack.running(directory, host) as started:
        with build.running([build.PROGRAMS[function]]) as programs:
            executable = programs.wait(build.PROGRAMS[function])
        local = started.with_ingest(executable) if function == build.INGEST else started
        # The mapping would replay the message that ingest queues.
        local.disable_mappings()
        processes.say(f"invoking {function} with {arguments.event} ({arguments.through}) ...")
        invocation = Invocation(local, function, local.outputs[output], executable, event)
        answer = through_docker(invocation) if arguments.through == "docker" else through_emulator(invocation)
        lines = list(snapshot.parsed(invocation.log.read_text().splitlines()))
        report.heading("Log lines")
        report.log(lines)
        report.heading("Calls at the stand-in Genesys Cloud and target")
        for call in local.genesys.calls():
            print(f"{call['status']} {call['method']} {call['path']}")
        report.heading("Answer")
        print(json.dumps(answer), flush=True)
        check(answer, member, lines, invocation.log)
    return 0


def check(answer: Any, member: str, lines: Sequence[Mapping[str, Any]], log: pathlib.Path) -> None:
    """Raises StackError if the function failed, or did not reach the local AWS or the stand-in."""
    if not isinstance(answer, dict) or member not in answer:
        raise processes.StackError(f"the function failed{processes.excerpt(log)}")
    unhandled = sorted({str(line.get("failure_code")) for line in lines if line.get("outcome") in UNHANDLED})
    if answer.get("statusCode", 0) >= SERVER_ERROR:
        unhandled.append(f"status {answer['statusCode']}")
    if unhandled:
        raise processes.StackError(f"the function did not reach its upstreams: {', '.join(unhandled)}")


def parse() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(prog="make invoke", description=__doc__)
    parser.add_argument("event", type=pathlib.Path, help="an event file, such as events/plain-event.json")
    parser.add_argument("--through", choices=["emulator", "docker"], default="emulator")
    arguments = parser.parse_args()
    if not arguments.event.is_file():
        known = ", ".join(sorted(path.name for path in (build.ROOT / "events").glob("*.json")))
        raise processes.StackError(f"{arguments.event} is not a file\nhint: in events/ there are {known}")
    return arguments


@dataclasses.dataclass(frozen=True)
class Invocation:
    """One event for one function of the local stack."""

    local: stack.Stack
    function: str
    # The name of the deployed function.
    name: str
    executable: pathlib.Path
    event: bytes

    @property
    def log(self) -> pathlib.Path:
        """The file for the output of the function."""
        return self.local.directory / "function.log"

    @functools.cached_property
    def configuration(self) -> dict[str, Any]:
        """The configuration of the deployed function."""
        return self.local.aws.client("lambda").get_function_configuration(FunctionName=self.name)

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the deployed function, and the address of the local AWS."""
        return {
            **self.configuration["Environment"]["Variables"],
            # A sample cannot carry a signature of the last five minutes.
            **({"INGEST_AUTH": "none"} if self.function == build.INGEST else {}),
            "AWS_ENDPOINT_URL": self.local.aws.endpoint,
        }


def function_for(event: bytes) -> str:
    """The function of an event; a file that is not JSON goes to the replay function, which reports it."""
    try:
        return build.INGEST if http_request.is_request(json.loads(event)) else build.REPLAY
    except ValueError:
        return build.REPLAY


def through_docker(invocation: Invocation) -> Any:
    """Runs the function with `sam local invoke` in AWS's image, and returns its answer."""
    directory, function = invocation.local.directory, invocation.function
    package = docker.package(invocation.executable, build.PROGRAMS[function], directory)
    template = ministack.template(build.TEMPLATE, {function: str(package)})
    # sam passes only the variables that the template declares.
    template["Resources"][function]["Properties"]["Environment"]["Variables"] = invocation.variables
    template_file, event_file = directory / "template.json", directory / "event.json"
    template_file.write_text(json.dumps(template))
    event_file.write_bytes(invocation.event)
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [
        *[
            str(build.SAM_TOOLS / "sam"),
            "local",
            "invoke",
            function,
            "--template-file",
            str(template_file),
            "--event",
            str(event_file),
        ],
        *["--region", aws.REGION, "--parameter-overrides", f"Architecture={build.architecture()}"],
        # A section that no samconfig.toml has, because a file may name a real account.
        *["--config-env", "genesys-replay-local"],
        *(["--skip-pull-image"] if docker.has_image() else []),
    ]
    with invocation.log.open("wb") as log:
        ended = subprocess.run(
            command, cwd=directory, env={**own, **aws.CREDENTIALS}, stdout=subprocess.PIPE, stderr=log, check=False
        )
    lines = ended.stdout.decode(errors="replace").strip().splitlines()
    if ended.returncode or not lines:
        raise processes.StackError(f"sam local invoke ended with {ended.returncode}{processes.excerpt(invocation.log)}")
    try:
        return json.loads(lines[-1])
    except ValueError:
        return lines[-1]


def through_emulator(invocation: Invocation) -> Any:
    """Serves the program with the emulator, posts the event to it and returns the answer."""
    configuration, log = invocation.configuration, invocation.log
    env = {
        **aws.sealed_environment(invocation.local.directory),
        **invocation.variables,
        "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
    }
    [rapid] = (build.ROOT / ".venv/sam/lib").glob("python*/site-packages/samcli/local/rapid")
    port = aws.free_port()
    command = [
        *[str(rapid / EMULATORS[build.architecture()]), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"],
        *["--runtime-api-address", f"127.0.0.1:{aws.free_port()}", str(invocation.executable)],
    ]
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"

    def answer() -> Any:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=invocation.event)) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except ConnectionError:
            raise
        except urllib.error.URLError:
            # The emulator does not listen yet.
            return None

    with processes.running(command, env=env, log=log) as process:
        return processes.wait_for("the emulator", answer, seconds=20, process=process, log=log)


if __name__ == "__main__":
    entry.run(main)
