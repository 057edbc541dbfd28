"""The values of samconfig.toml."""

from __future__ import annotations

import unittest

from local import samconfig

TEXT = """version = 0.1
[default.build.parameters]
stack_name = "not this one"

[default.deploy.parameters]
stack_name = "genesys-replay"
parameter_overrides = 'AllowedTargets="arn:aws:sqs:*:*:crm" ReplayEnabled="true"'

[other.deploy.parameters]
region = "eu-central-1"
"""


class Samconfig(unittest.TestCase):
    """The values that make deploy reads."""

    def test_value_is_that_of_the_default_deployment(self) -> None:
        self.assertEqual(samconfig.value(TEXT, "stack_name"), "genesys-replay")
        overrides = 'AllowedTargets="arn:aws:sqs:*:*:crm" ReplayEnabled="true"'
        self.assertEqual(samconfig.value(TEXT, "parameter_overrides"), overrides)

    def test_value_of_the_sam_cli_is_unescaped(self) -> None:
        text = '[default.deploy.parameters]\nparameter_overrides = "A=\\"1\\" B=\\"2\\""\n'
        self.assertEqual(samconfig.value(text, "parameter_overrides"), 'A="1" B="2"')

    def test_missing_value_is_empty(self) -> None:
        for text in ("", TEXT):
            self.assertEqual(samconfig.value(text, "region"), "")


if __name__ == "__main__":
    unittest.main()
