"""The differences between ministack, the local AWS, and AWS: the changes that template.yaml needs to work in it."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from . import aws

# A saved query of Logs Insights.
QUERY_TYPE = "AWS::Logs::QueryDefinition"
ALARM_TYPE = "AWS::CloudWatch::Alarm"
PLAIN_HTTP = {"Bool": {"aws:SecureTransport": "false"}}


def template(path: pathlib.Path, code: Mapping[str, str]) -> dict[str, Any]:
    """A copy of a template with its included files. `code` has the packages that the template does not name."""
    content = included(yaml_parse(path.read_text()), path.parent)
    resources = content["Resources"]
    for name, place in code.items():
        resources[name]["Properties"]["CodeUri"] = place
    for name, resource in list(resources.items()):
        # ministack refuses a template with saved queries.
        if resource["Type"] == QUERY_TYPE:
            del resources[name]
        # ministack refuses an alarm with a query of Metrics Insights: the alarm watches the metric of no rule instead.
        if resource["Type"] == ALARM_TYPE and "Metrics" in resource["Properties"]:
            [query] = resource["Properties"].pop("Metrics")
            [metric] = re.findall(r"^SELECT SUM\((\w+)\)", query["Expression"]["Fn::Sub"][0])
            resource["Properties"].update(
                Namespace="AWS/Events", MetricName=metric, Statistic="Sum", Period=query["Period"]
            )
        # ministack has plain HTTP only, and enforces policies that refuse plain HTTP.
        policy = resource.get("Properties", {}).get("PolicyDocument")
        if policy:
            policy["Statement"] = [one for one in policy["Statement"] if one.get("Condition") != PLAIN_HTTP]
            if not policy["Statement"]:
                del resources[name]
    return content


def included(part: Any, folder: pathlib.Path) -> Any:
    """A part of a template with its included files."""
    if isinstance(part, list):
        return [included(one, folder) for one in part]
    if not isinstance(part, dict):
        return part
    whole = {name: included(value, folder) for name, value in part.items() if name != "Fn::Transform"}
    if "Fn::Transform" in part:
        location = part["Fn::Transform"]["Parameters"]["Location"]
        whole.update(included(yaml_parse((folder / location).read_text()), folder))
    return whole


def function_url(cloud: aws.LocalAws, url: str) -> str:
    """The address of a function URL on this machine, because its AWS name does not resolve here."""
    return f"{cloud.endpoint}/_aws/lambda-url/{url.removeprefix('https://').partition('.')[0]}"


def deployed(cloud: aws.LocalAws, outputs: Mapping[str, str], parameters: Mapping[str, str]) -> None:
    """Repairs a stack that was deployed with these parameters."""
    function = outputs["ReplayFunctionName"]
    client = cloud.client("lambda")

    # ministack stores the number of a parameter as text, and its poller fails to compare it.
    [mapping] = client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    most: Any = mapping["ScalingConfig"]["MaximumConcurrency"]
    # ministack also reports every mapping of a template as enabled.
    enabled = {"auto": "DeadLetterQueueArn" not in parameters}
    client.update_event_source_mapping(
        UUID=mapping["UUID"],
        ScalingConfig={"MaximumConcurrency": int(most)},
        Enabled=enabled.get(parameters.get("ReplayEnabled", "auto"), parameters.get("ReplayEnabled") == "true"),
    )

    # ministack ignores the table's time to live.
    cloud.client("dynamodb").update_time_to_live(
        TableName=outputs["LedgerTableName"],
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "ExpiresAt"},
    )

    # ministack requires a permission with the name of the batch call. In AWS, sqs:ChangeMessageVisibility allows both.
    role = client.get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    visibility = {
        "Effect": "Allow",
        "Action": "sqs:ChangeMessageVisibilityBatch",
        "Resource": outputs["DeadLetterQueueArn"],
    }
    # ministack does not have the condition key secretsmanager:SecretId.
    connections = {
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "arn:aws:secretsmanager:*:*:secret:events!connection/*",
    }
    # ministack checks these calls for another resource than AWS.
    descriptions = {
        "Effect": "Allow",
        "Action": ["events:DescribeApiDestination", "events:DescribeConnection", "events:ListTargetsByRule"],
        "Resource": "*",
    }
    cloud.client("iam").put_role_policy(
        RoleName=role,
        PolicyName="only-ministack-needs-this",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [visibility, connections, descriptions]}),
    )
