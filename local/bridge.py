"""Where ministack, the local AWS, is not like AWS: what has to be done by hand for template.yaml to work in it."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from . import aws

# A saved query of Logs Insights.
QUERY_TYPE = "AWS::Logs::QueryDefinition"
PLAIN_HTTP = {"Bool": {"aws:SecureTransport": "false"}}


def template(built: pathlib.Path) -> pathlib.Path:
    """A copy of the built template that ministack takes, beside it."""
    content = yaml_parse(built.read_text())
    resources = content["Resources"]
    for name, resource in list(resources.items()):
        # It knows no saved queries, and refuses a template that has them.
        if resource["Type"] == QUERY_TYPE:
            del resources[name]
        # It is reached by plain http, and means it when policies refuse that.
        policy = resource.get("Properties", {}).get("PolicyDocument")
        if policy:
            policy["Statement"] = [one for one in policy["Statement"] if one.get("Condition") != PLAIN_HTTP]
            if not policy["Statement"]:
                del resources[name]
    path = built.with_name("template-for-ministack.json")
    path.write_text(json.dumps(content))
    return path


def function_url(cloud: aws.LocalAws, url: str) -> str:
    """Where a function URL is reached: the name that it has in AWS is one of the internet, where nobody knows it."""
    return f"{cloud.endpoint}/_aws/lambda-url/{url.removeprefix('https://').partition('.')[0]}"


def deployed(cloud: aws.LocalAws, outputs: Mapping[str, str]) -> None:
    """Sets right what ministack makes of a deployed stack."""
    function = outputs["ReplayFunctionName"]
    client = cloud.client("lambda")

    # It keeps a number that a template takes from a parameter as text, and its poller fails at comparing it.
    [mapping] = client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    most: Any = mapping["ScalingConfig"]["MaximumConcurrency"]
    client.update_event_source_mapping(UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": int(most)})

    # It leaves out the table's time to live.
    cloud.client("dynamodb").update_time_to_live(
        TableName=outputs["LedgerTableName"],
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "ExpiresAt"},
    )

    # It asks for a permission of the batch call's own name. In AWS, sqs:ChangeMessageVisibility allows both calls.
    role = client.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    statement = {
        "Effect": "Allow",
        "Action": "sqs:ChangeMessageVisibilityBatch",
        "Resource": outputs["DeadLetterQueueArn"],
    }
    cloud.client("iam").put_role_policy(
        RoleName=role,
        PolicyName="only-ministack-needs-this",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
