"""make invoke: one event of events/ through the function that it is for, against the local stack.

With Docker in AWS's own image (`sam local invoke`), else in AWS's Runtime Interface Emulator, which aws-sam-cli brings.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.request
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from . import aws, build, entry, http_request, processes, report, stack

# The output that names each function, and what its answer has.
FUNCTIONS = {
    build.REPLAY: ("ReplayFunctionName", "batchItemFailures"),
    build.INGEST: ("IngestFunctionName", "statusCode"),
}
EMULATORS = {"x86_64": "aws-lambda-rie-x86_64", "arm64": "aws-lambda-rie-arm64"}


def main() -> int:
    arguments = parse()
    event = arguments.event.read_bytes()
    function = function_for(event)
    with stack.directory("invoke") as directory, stack.running(directory) as local:
        processes.say(f"invoking {function} with {arguments.event} through {arguments.through} ...")
        log = directory / "function.log"
        invoke = through_docker if arguments.through == "docker" else through_emulator
        answer = invoke(local, function, event, log)
        report.heading("Log lines")
        report.log(json.loads(line) for line in log.read_text().splitlines() if is_log_line(line))
        report.heading("Calls at the stand-in Genesys Cloud and target")
        for call in local.genesys.calls():
            print(f"{call['status']} {call['method']} {call['path']}")
        report.heading("Answer")
        print(json.dumps(answer), flush=True)
        _, member = FUNCTIONS[function]
        if not isinstance(answer, dict) or member not in answer:
            raise processes.StackError(f"the function failed{processes.excerpt(log)}")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make invoke", description=__doc__)
    parser.add_argument("event", type=pathlib.Path, help="an event file, such as events/plain-event.json")
    parser.add_argument("--through", choices=["docker", "emulator"], default="docker" if has_docker() else "emulator")
    arguments = parser.parse_args()
    if not arguments.event.is_file():
        known = ", ".join(sorted(path.name for path in (build.ROOT / "events").glob("*.json")))
        raise processes.StackError(f"{arguments.event} is no file; in events/ there are {known}")
    return arguments


def function_for(event: bytes) -> str:
    """The function that takes such events; what is no event goes to the replay function, which says so."""
    try:
        return build.INGEST if http_request.is_request(json.loads(event)) else build.REPLAY
    except ValueError:
        return build.REPLAY


def has_docker() -> bool:
    """Whether a Docker daemon answers; the client alone is of no use."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def through_emulator(local: stack.Stack, function: str, event: bytes, log: pathlib.Path) -> Any:
    """Serves the binary with AWS's emulator and posts the event to it."""
    [rapid] = (build.SAM_BIN.parent / "lib").glob("python*/site-packages/samcli/local/rapid")
    port, runtime_port = aws.free_port(), aws.free_port()
    command = [
        *[str(rapid / EMULATORS[build.architecture()]), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"],
        *["--runtime-api-address", f"127.0.0.1:{runtime_port}", str(build.executable(local.template, function))],
    ]
    env = aws.sealed_environment(local.directory) | function_environment(local, function)
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"

    def answer() -> Any:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=event)) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except ConnectionError:
            raise
        except urllib.error.URLError:
            # It does not listen yet.
            return None

    with processes.running(command, env=env, log=log) as process:
        return processes.wait_for("the emulator", answer, seconds=20, process=process)


def through_docker(local: stack.Stack, function: str, event: bytes, log: pathlib.Path) -> Any:
    """Lets `sam local invoke` run the function in AWS's image, on this machine's network."""
    # sam hands on only variables that the template declares, so the one for the local AWS has to be declared first.
    template = yaml_parse(local.template.read_text())
    variables = function_environment(local, function)
    template["Resources"][function]["Properties"]["Environment"]["Variables"] = variables
    declared = local.template.with_name("template-for-docker.json")
    declared.write_text(json.dumps(template))
    event_file = local.directory / "event.json"
    event_file.write_bytes(event)
    command = [
        *[str(build.SAM_BIN / "sam"), "local", "invoke", function, "--template-file", str(declared)],
        *["--event", str(event_file), "--docker-network", "host", "--region", aws.REGION, *build.NO_SAM_CONFIG],
        *["--parameter-overrides", f"Architecture={build.architecture()}"],
    ]
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env = own | aws.CREDENTIALS | {"SAM_CLI_TELEMETRY": "0"}
    processes.run(command, env=env, log=log)
    [*_, answer] = (line for line in log.read_text().splitlines() if line.startswith("{") and not is_log_line(line))
    return json.loads(answer)


def is_log_line(line: str) -> bool:
    """Whether the function wrote this, not the platform it runs on."""
    try:
        return line.startswith("{") and "timestamp" in json.loads(line)
    except ValueError:
        return False


def function_environment(local: stack.Stack, function: str) -> dict[str, str]:
    """The variables of the deployed function, and where the local AWS is."""
    output, _ = FUNCTIONS[function]
    configuration = local.aws.client("lambda").get_function_configuration(FunctionName=local.outputs[output])
    return {
        **configuration["Environment"]["Variables"],
        # A sample cannot carry a signature of these five minutes.
        **({"INGEST_AUTH": "none"} if function == build.INGEST else {}),
        "AWS_ENDPOINT_URL": local.aws.endpoint,
        "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
    }


if __name__ == "__main__":
    entry.run(main)
