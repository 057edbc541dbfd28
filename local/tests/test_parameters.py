"""Values of parameters that template.yaml accepts and refuses, by CloudFormation's rule for AllowedPattern."""

from __future__ import annotations

import re
import unittest

from samtranslator.yaml_helper import yaml_parse

from local import build

SUBNET, GROUP = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"
LAYER = "arn:aws:lambda:eu-central-1:123456789012:layer:authorities"

ACCEPTED = {
    "PermissionsBoundaryArn": ["", "arn:aws:iam::123456789012:policy/teams/boundary", "arn:aws:iam::aws:policy/Any"],
    "VpcSubnetIds": ["", SUBNET, f"{SUBNET},subnet-01234567"],
    "VpcSecurityGroupIds": ["", GROUP, ",".join([GROUP] * 5)],
    "HttpsProxy": ["", "http://proxy.example:3128", "https://10.0.0.1/"],
    "NoProxy": ["", ".amazonaws.com,crm.internal", "10.0.0.0/8", "*"],
    "CaLayerArn": ["", f"{LAYER}:3"],
    "WatchedRuleName": ["", "none", "genesys.events_1-a"],
    "PartnerEventSourceName": ["", "aws.partner/genesys.com/cloud/0a1b-2c/events"],
}
REFUSED = {
    "PermissionsBoundaryArn": [
        "boundary",
        "arn:aws:iam::123456789012:role/boundary",
        "arn:aws:iam::123456789012:policy/*",
    ],
    "VpcSubnetIds": [f"{SUBNET}, {SUBNET}", f"{SUBNET},", GROUP, ",".join([SUBNET] * 17)],
    "VpcSecurityGroupIds": [SUBNET, ",".join([GROUP] * 6), "default"],
    "HttpsProxy": [
        "proxy.example:3128",
        "http://user:password@proxy.example",
        "http://proxy.example/path",
        "socks5://a",
    ],
    "NoProxy": ["a, b", "a,", "http://a b"],
    # The layer without its version, and a name.
    "CaLayerArn": [LAYER, "authorities", f"{LAYER}:latest"],
    # It becomes a part of a query.
    "WatchedRuleName": ["a' OR RuleName = 'b", "arn:aws:events:eu-central-1:123456789012:rule/a", "a" * 65],
    "PartnerEventSourceName": [
        "genesys.com/cloud",
        "arn:aws:events:eu-central-1::event-source/aws.partner/genesys.com/a",
    ],
}


class Patterns(unittest.TestCase):
    """The patterns of the parameters for the rules of an account, and of the alarms before the queue."""

    def setUp(self) -> None:
        self.parameters = yaml_parse(build.TEMPLATE.read_text())["Parameters"]

    def matches(self, parameter: str, value: str) -> bool:
        # CloudFormation requires that the whole value matches.
        return re.fullmatch(self.parameters[parameter]["AllowedPattern"], value) is not None

    def test_valid_values_are_accepted(self) -> None:
        for parameter, values in ACCEPTED.items():
            for value in values:
                with self.subTest(parameter, value=value):
                    self.assertTrue(self.matches(parameter, value))

    def test_wrong_values_are_refused_with_a_description(self) -> None:
        for parameter, values in REFUSED.items():
            description = self.parameters[parameter]["ConstraintDescription"]
            self.assertRegex(description, r"\w+ \w+")
            for value in values:
                with self.subTest(parameter, value=value):
                    self.assertFalse(self.matches(parameter, value))


if __name__ == "__main__":
    unittest.main()
