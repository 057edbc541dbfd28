"""The part of the AWS CLI that printed commands need: one call, with the names and values of the AWS CLI's options.

botocore checks the values as the AWS CLI does: an unknown option or member is an error.
"""

from __future__ import annotations

import json
import sys

import boto3
from botocore import xform_name


def main(service: str, operation: str, *words: str) -> str | None:
    """Makes the call. Returns a message if a part of it failed."""
    options = dict(zip(words[::2], words[1::2], strict=True))
    client = boto3.client(service, region_name=options.pop("--region"), endpoint_url=options.pop("--endpoint-url"))
    method = operation.replace("-", "_")
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    members = {f"--{xform_name(name, '-')}": (name, shape) for name, shape in model.input_shape.members.items()}
    arguments = {}
    for option, text in options.items():
        name, shape = members[option]
        arguments[name] = text if shape.type_name == "string" else json.loads(text)
    answer = getattr(client, method)(**arguments)
    return str(answer["FailedEntries"]) if answer.get("FailedEntryCount") else None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
