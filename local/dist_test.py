"""make dist-test: a copy of a release, deployed to a local AWS without Rust, replays one dead letter."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from . import aws, build, checks, dist, driver, entry, ministack, processes, report, stack, stand_in
from .release import template
from .scenarios import SCENARIOS

# Tools of the system only: no cargo, and no tool of this repository.
PATH = "/usr/bin:/bin"
# Two functions, and two included files.
PACKAGED_FILES = 4


def main() -> int:
    [version] = sys.argv[1:]
    name = f"genesys-replay-{version}"
    archive = dist.DIST / f"{name}.tar.gz"
    if not archive.exists():
        raise processes.StackError(f"{archive.relative_to(build.ROOT)} is missing\nhint: make dist VERSION={version}")
    if shutil.which("cargo", path=PATH):
        raise processes.StackError(f"cargo is in {PATH}, so this test would prove nothing")
    with build.running([build.STAND_IN]) as programs:
        executable = programs.wait(build.STAND_IN)
    with (
        stack.directory("dist") as directory,
        tempfile.TemporaryDirectory() as elsewhere,
        aws.running(directory, aws.LOOPBACK) as cloud,
        stand_in.running(executable, directory, aws.sealed_environment(directory), aws.LOOPBACK) as genesys,
    ):
        run(["tar", "-xzf", str(archive)], pathlib.Path(elsewhere))
        folder = pathlib.Path(elsewhere) / name
        run(["sha256sum", "--check", "--quiet", dist.SUMS], folder)
        values = stack.parameters(cloud, genesys)
        outputs = deploy(cloud, folder, values)
        local = stack.Stack(cloud, genesys, values, outputs, directory)
        problems = replay(local) + examine(local, folder, version)
    if problems:
        print("\n".join(problems), flush=True)
        raise processes.StackError(f"{len(problems)} findings, see above")
    print(f"{name}: deployed without Rust; a dead letter was replayed, and doctor found the same version.", flush=True)
    return 0


def deploy(cloud: aws.LocalAws, folder: pathlib.Path, values: Mapping[str, str]) -> dict[str, str]:
    """Deploys the folder with `sam deploy`, and returns the outputs of the stack."""
    path = folder / template.file_name(build.architecture())
    # The local AWS does not support all of the template. The template itself is only packaged.
    adapted = path.with_name("ministack.json")
    adapted.write_text(json.dumps(ministack.template(path, {})))
    cloud.client("s3").create_bucket(Bucket=stack.CODE_BUCKET)
    env = cloud.env | {"AWS_ENDPOINT_URL": cloud.endpoint}
    sam, upload = str(build.SAM_TOOLS / "sam"), ["--s3-bucket", stack.CODE_BUCKET, "--no-progressbar"]
    processes.say(f"sam package and sam deploy, from a copy of {folder.name} ...")
    package = [sam, "package", "--template-file", path.name, "--output-template-file", "packaged.yaml", *upload]
    run(package, folder, env)
    uploaded = (folder / "packaged.yaml").read_text().count(f"s3://{stack.CODE_BUCKET}/")
    if uploaded != PACKAGED_FILES:
        raise processes.StackError(f"sam package uploaded {uploaded} files of {path.name}, not {PACKAGED_FILES}")
    command = [sam, "deploy", "--template-file", adapted.name, "--stack-name", stack.STACK_NAME, *upload]
    command += ["--capabilities", *stack.CAPABILITIES, "--parameter-overrides"]
    command += [f"{key}={value}" for key, value in values.items()]
    run(command, folder, env)
    [found] = cloud.client("cloudformation").describe_stacks(StackName=stack.STACK_NAME)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    ministack.deployed(cloud, outputs)
    return outputs


def replay(local: stack.Stack) -> list[str]:
    """Sends one dead letter and returns the findings."""
    sent = driver.send(local, SCENARIOS[:1])
    seen = driver.until_handled(local, sent)
    report.endings(seen, sent)
    return checks.first_round(seen, sent)


def examine(local: stack.Stack, folder: pathlib.Path, version: str) -> list[str]:
    """Runs `doctor` with the command of the release and returns the findings."""
    name = f"{folder.name}-linux-{build.architecture()}"
    run(["tar", "-xzf", f"{name}.tar.gz"], folder)
    command = str(folder / name / build.OPERATOR)
    function = local.outputs["ReplayFunctionName"]
    arguments = ["doctor", "--function", function, "--output", "json"]
    found = json.loads(run([command, *arguments], folder, local.aws.env))["checks"]
    [about] = [one for one in found if one["name"] == "version"]
    print(f"doctor: {about['found']}")
    expected = f"the function and this command are {version}"
    return [] if about["verdict"] == "ok" and about["found"].startswith(expected) else [f"doctor: {about}"]


def run(command: Sequence[str], folder: pathlib.Path, env: Mapping[str, str] = os.environ) -> str:
    """The output of a program that finds no cargo; raises StackError if the program fails."""
    env = {**env, "PATH": PATH}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        text = f"{' '.join(command[:3])} ended with exit code {done.returncode}"
        raise processes.StackError(f"{text}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    entry.run(main)
