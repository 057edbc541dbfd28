"""make invoke: one event of events/ through its function, in the local stack and AWS's Runtime Interface Emulator."""

from __future__ import annotations

import argparse
import json
import pathlib
import urllib.error
import urllib.request
from typing import Any

from . import aws, build, entry, http_request, processes, report, snapshot, stack

# The output that names each function, and the member that its answer has.
FUNCTIONS = {
    build.REPLAY: ("ReplayFunctionName", "batchItemFailures"),
    build.INGEST: ("IngestFunctionName", "statusCode"),
}
# AWS's emulator comes with aws-sam-cli.
EMULATORS = {"x86_64": "aws-lambda-rie-x86_64", "arm64": "aws-lambda-rie-arm64"}


def main() -> int:
    path = parse()
    event = path.read_bytes()
    function = function_for(event)
    output, member = FUNCTIONS[function]
    with stack.directory("invoke") as directory, stack.running(directory) as started:
        with build.running([build.PROGRAMS[function]]) as programs:
            executable = programs.wait(build.PROGRAMS[function])
        local = started.with_ingest(executable) if function == build.INGEST else started
        processes.say(f"invoking {function} with {path} ...")
        log = directory / "function.log"
        answer = invoke(executable, environment(local, function, local.outputs[output]), event, log)
        report.heading("Log lines")
        report.log(snapshot.parsed(log.read_text().splitlines()))
        report.heading("Calls at the stand-in Genesys Cloud and target")
        for call in local.genesys.calls():
            print(f"{call['status']} {call['method']} {call['path']}")
        report.heading("Answer")
        print(json.dumps(answer), flush=True)
        if not isinstance(answer, dict) or member not in answer:
            raise processes.StackError(f"the function failed{processes.excerpt(log)}")
    return 0


def parse() -> pathlib.Path:
    """The event file of the command line."""
    parser = argparse.ArgumentParser(prog="make invoke", description=__doc__)
    parser.add_argument("event", type=pathlib.Path, help="an event file, such as events/plain-event.json")
    path = parser.parse_args().event
    if not path.is_file():
        known = ", ".join(sorted(path.name for path in (build.ROOT / "events").glob("*.json")))
        raise processes.StackError(f"{path} is not a file\nhint: in events/ there are {known}")
    return path


def function_for(event: bytes) -> str:
    """The function of an event; a file that is not JSON goes to the replay function, which reports it."""
    try:
        return build.INGEST if http_request.is_request(json.loads(event)) else build.REPLAY
    except ValueError:
        return build.REPLAY


def environment(local: stack.Stack, function: str, name: str) -> dict[str, str]:
    """The variables of the deployed function, and the address of the local AWS."""
    configuration = local.aws.client("lambda").get_function_configuration(FunctionName=name)
    return {
        **aws.sealed_environment(local.directory),
        **configuration["Environment"]["Variables"],
        # A sample cannot carry a signature of the last five minutes.
        **({"INGEST_AUTH": "none"} if function == build.INGEST else {}),
        "AWS_ENDPOINT_URL": local.aws.endpoint,
        "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
    }


def invoke(executable: pathlib.Path, env: dict[str, str], event: bytes, log: pathlib.Path) -> Any:
    """Serves the program with the emulator, posts the event to it and returns the answer."""
    [rapid] = (build.ROOT / ".venv/sam/lib").glob("python*/site-packages/samcli/local/rapid")
    port = aws.free_port()
    command = [
        *[str(rapid / EMULATORS[build.architecture()]), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"],
        *["--runtime-api-address", f"127.0.0.1:{aws.free_port()}", str(executable)],
    ]
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
            # The emulator does not listen yet.
            return None

    with processes.running(command, env=env, log=log) as process:
        return processes.wait_for("the emulator", answer, seconds=20, process=process, log=log)


if __name__ == "__main__":
    entry.run(main)
