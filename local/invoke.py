"""make invoke: one event of events/ through its function, in the local stack.

Through AWS's Runtime Interface Emulator, which aws-sam-cli brings, or with Docker in AWS's own image.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import urllib.error
import urllib.request
from typing import Any

from . import aws, bridge, build, entry, http_request, processes, report, stack

# The output that names each function, and the member that its answer has.
FUNCTIONS = {
    build.REPLAY: ("ReplayFunctionName", "batchItemFailures"),
    build.INGEST: ("IngestFunctionName", "statusCode"),
}
EMULATORS = {"x86_64": "aws-lambda-rie-x86_64", "arm64": "aws-lambda-rie-arm64"}


def main() -> int:
    arguments = parse()
    event = arguments.event.read_bytes()
    function = function_for(event)
    program = build.PROGRAMS[function]
    with (
        stack.directory("invoke") as directory,
        stack.running(directory) as local,
        build.running([program]) as programs,
    ):
        executable = programs.wait(program)
        deployed = local.with_ingest(executable) if function == build.INGEST else local
        processes.say(f"invoking {function} with {arguments.event} through the {arguments.through} ...")
        log = directory / "function.log"
        invoke = through_docker if arguments.through == "docker" else through_emulator
        answer = invoke(deployed, function, executable, event, log)
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
    parser.add_argument("--through", choices=["docker", "emulator"], default="emulator")
    arguments = parser.parse_args()
    if not arguments.event.is_file():
        known = ", ".join(sorted(path.name for path in (build.ROOT / "events").glob("*.json")))
        raise processes.StackError(f"{arguments.event} is not a file; in events/ there are {known}")
    return arguments


def function_for(event: bytes) -> str:
    """The function of an event; a file that is not JSON goes to the replay function, which reports it."""
    try:
        return build.INGEST if http_request.is_request(json.loads(event)) else build.REPLAY
    except ValueError:
        return build.REPLAY


def through_emulator(
    local: stack.Stack, function: str, executable: pathlib.Path, event: bytes, log: pathlib.Path
) -> Any:
    """Serves the program with AWS's emulator and posts the event to it."""
    [rapid] = (build.SAM_BIN.parent / "lib").glob("python*/site-packages/samcli/local/rapid")
    port, runtime_port = aws.free_port(), aws.free_port()
    command = [
        *[str(rapid / EMULATORS[build.architecture()]), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"],
        *["--runtime-api-address", f"127.0.0.1:{runtime_port}", str(executable)],
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


def through_docker(local: stack.Stack, function: str, _: pathlib.Path, event: bytes, log: pathlib.Path) -> Any:
    """Lets `sam local invoke` run the function in AWS's image, on this machine's network."""
    # With cargo-lambda, because this machine's C library may be newer than the image's.
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", build.ROOT / "target"))
    arm = ["--arm64"] if build.architecture() == "arm64" else []
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env = own | aws.CREDENTIALS | {"SAM_CLI_TELEMETRY": "0", "PATH": f"{build.SAM_BIN}{os.pathsep}{own['PATH']}"}
    processes.run(["cargo", "lambda", "build", *arm, "--bin", build.PROGRAMS[function]], env=env)

    template = bridge.template({function: str(target.resolve() / "lambda" / build.PROGRAMS[function])})
    # sam passes on only the variables that the template declares.
    template["Resources"][function]["Properties"]["Environment"]["Variables"] = function_environment(local, function)
    template_file, event_file = local.directory / "template-for-docker.json", local.directory / "event.json"
    template_file.write_text(json.dumps(template))
    event_file.write_bytes(event)
    command = [
        *[str(build.SAM_BIN / "sam"), "local", "invoke", function, "--template-file", str(template_file)],
        *["--event", str(event_file), "--docker-network", "host", "--region", aws.REGION],
        *["--parameter-overrides", f"Architecture={build.architecture()}"],
        # A section that no samconfig.toml has: `sam deploy --guided` may have written one for a real account.
        *["--config-env", "genesys-replay-local"],
    ]
    processes.run(command, env=env, log=log)
    [*_, answer] = (line for line in log.read_text().splitlines() if line.startswith("{") and not is_log_line(line))
    return json.loads(answer)


def is_log_line(line: str) -> bool:
    """Whether the function wrote this line, not the platform."""
    try:
        return line.startswith("{") and "timestamp" in json.loads(line)
    except ValueError:
        return False


def function_environment(local: stack.Stack, function: str) -> dict[str, str]:
    """The variables of the deployed function, and the address of the local AWS."""
    output, _ = FUNCTIONS[function]
    configuration = local.aws.client("lambda").get_function_configuration(FunctionName=local.outputs[output])
    return {
        **configuration["Environment"]["Variables"],
        # A sample cannot carry a signature of the last five minutes.
        **({"INGEST_AUTH": "none"} if function == build.INGEST else {}),
        "AWS_ENDPOINT_URL": local.aws.endpoint,
        "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
    }


if __name__ == "__main__":
    entry.run(main)
