"""The size of the functions' variables for a deployment: Lambda refuses more than 4 KB, late and with a rollback.

`make deploy` runs it before sam: python -m local.environment --stack genesys-replay GenesysRegion=eu-central-1 …
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
from samtranslator.yaml_helper import yaml_parse

from . import build, ministack
from .processes import StackError

# The limit of Lambda for names and values of all variables of a function.
MAX_ENVIRONMENT_BYTES = 4096
# 90 %, as in doctor: a further ARN may not fit.
WARN_ENVIRONMENT_BYTES = 3686
# The length of a text that only the deployment knows: the name of a table, the URL of a queue, a secret parameter.
USUAL_BYTES = 110
# CloudFormation shows a parameter with NoEcho like this.
HIDDEN = "****"
FUNCTION_TYPE = "AWS::Serverless::Function"


class Environment:
    """The variables of the functions of a template with these parameters."""

    def __init__(self, template: Mapping[str, Any], given: Mapping[str, str]) -> None:
        self.template = template
        self.given = given
        unknown = sorted(set(given) - set(template["Parameters"]))
        if unknown:
            raise StackError(f"{', '.join(unknown)}: not a parameter of template.yaml\nhint: check PARAMETERS")

    def sizes(self) -> dict[str, int]:
        """The bytes of the variables of each function that exists."""
        common = self.template["Globals"]["Function"]["Environment"]["Variables"]
        functions = {name: one for name, one in self.template["Resources"].items() if one.get("Type") == FUNCTION_TYPE}
        return {
            name: sum(self.bytes({**common, **one["Properties"]["Environment"]["Variables"]}))
            for name, one in functions.items()
            if "Condition" not in one or self.holds({"Condition": one["Condition"]})
        }

    def bytes(self, variables: Mapping[str, Any]) -> Iterator[int]:
        """The bytes of each variable, its name included; none for a variable that is left out."""
        for name, value in variables.items():
            size = self.size(value)
            if size is not None:
                yield len(name.encode()) + size

    def size(self, value: Any) -> int | None:
        """The bytes of a value, or None for no value."""
        match value:
            case {"Ref": "AWS::NoValue"}:
                return None
            case {"Ref": name} if name in self.template["Parameters"]:
                text = self.parameter(name)
                return USUAL_BYTES if text == HIDDEN else len(text.encode())
            case {"Fn::If": [condition, yes, no]}:
                return self.size(yes if self.holds({"Condition": condition}) else no)
            case dict():
                return USUAL_BYTES
            case _:
                return len(str(value).encode())

    def parameter(self, name: str) -> str:
        """The value of a parameter: given, or its default."""
        return str(self.given.get(name, self.template["Parameters"][name].get("Default", "")))

    def holds(self, condition: Mapping[str, Any]) -> bool:
        """Evaluates a condition."""
        match condition:
            case {"Condition": name}:
                return self.holds(self.template["Conditions"][name])
            case {"Fn::And": operands}:
                return all(map(self.holds, operands))
            case {"Fn::Or": operands}:
                return any(map(self.holds, operands))
            case {"Fn::Not": [operand]}:
                return not self.holds(operand)
            case {"Fn::Equals": [{"Ref": name}, value]}:
                return self.parameter(name) == str(value)
            case _:
                raise StackError(f"the condition cannot be evaluated: {dict(condition)}")


def check(sizes: Mapping[str, int]) -> list[str]:
    """Returns a line for each function that is near the limit; raises StackError above the limit."""
    texts = {
        name: f"the variables of {name} have {size} of {MAX_ENVIRONMENT_BYTES} bytes" for name, size in sizes.items()
    }
    too_long = [texts[name] for name, size in sizes.items() if size > MAX_ENVIRONMENT_BYTES]
    if too_long:
        hint = (
            "shorten AllowedTargets with patterns, remove redirects without dead letters, or lines of environment.yaml"
        )
        raise StackError("\n".join([*too_long, f"hint: {hint}"]))
    return [texts[name] for name, size in sizes.items() if size >= WARN_ENVIRONMENT_BYTES]


def present(stack: str) -> dict[str, str]:
    """The parameters of a deployed stack, which a deployment keeps; empty for a new stack.

    Raises BotoCoreError or ClientError if they cannot be read.
    """
    limits = botocore.config.Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    try:
        [found] = boto3.client("cloudformation", config=limits).describe_stacks(StackName=stack)["Stacks"]
    except botocore.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return {}
        raise
    return {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}


def template() -> dict[str, Any]:
    """template.yaml with its included files."""
    return ministack.included(yaml_parse(build.TEMPLATE.read_text()), build.TEMPLATE.parent)


def parse(words: list[str]) -> dict[str, str]:
    """The parameters of `Name=value` words."""
    pairs = [word.partition("=") for word in words]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise StackError(f"{', '.join(wrong)}: not of the form Name=value\nhint: quote a value with spaces")
    return {name: value for name, _, value in pairs}


def main() -> None:
    parser = argparse.ArgumentParser(prog="local.environment", description=__doc__)
    parser.add_argument("--stack", help="the stack to update; its other parameters stay")
    parser.add_argument("parameters", nargs="*", metavar="Name=value")
    arguments = parser.parse_args()
    whole = template()
    kept: dict[str, str] = {}
    if arguments.stack:
        try:
            kept = present(arguments.stack)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            print(f"variables: checked without the parameters of {arguments.stack}: {error}", file=sys.stderr)
    # A parameter of an older version is not in the template any more.
    kept = {name: value for name, value in kept.items() if name in whole["Parameters"]}
    for line in check(Environment(whole, {**kept, **parse(arguments.parameters)}).sizes()):
        print(f"warning: {line}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except StackError as error:
        sys.exit(f"error: {error}")
