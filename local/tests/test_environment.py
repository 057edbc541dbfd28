"""The size of the variables before a deployment."""

from __future__ import annotations

import unittest

from local import environment
from local.environment import MAX_ENVIRONMENT_BYTES, WARN_ENVIRONMENT_BYTES, Environment
from local.processes import StackError

REPLAY, INGEST = "ReplayFunction", "IngestFunction"
PROXY = "http://proxy.example:3128"
LAYER = "arn:aws:lambda:eu-central-1:123456789012:layer:authorities:3"


class Sizes(unittest.TestCase):
    """The variables of template.yaml."""

    def sizes(self, **given: str) -> dict[str, int]:
        return Environment(environment.template(), given).sizes()

    def test_a_parameter_counts_with_its_value(self) -> None:
        default, longer = self.sizes()[REPLAY], self.sizes(AllowedTargets="x" * 50)[REPLAY]
        self.assertEqual(longer, default + 50)

    def test_a_variable_without_a_value_does_not_count(self) -> None:
        more = self.sizes(HttpsProxy=PROXY)[REPLAY] - self.sizes()[REPLAY]
        self.assertEqual(more, len("HTTPS_PROXY") + len(PROXY))
        certificates = len("SSL_CERT_FILE/etc/pki/tls/certs/ca-bundle.crtSSL_CERT_DIR/opt/ca")
        self.assertEqual(self.sizes(CaLayerArn=LAYER)[REPLAY] - self.sizes()[REPLAY], certificates)

    def test_ingest_counts_only_when_it_exists(self) -> None:
        self.assertEqual(set(self.sizes()), {REPLAY})
        self.assertEqual(set(self.sizes(IngestEndpoint="http-api")), {REPLAY, INGEST})

    def test_a_line_of_the_users_file_counts(self) -> None:
        template = environment.template()
        variables = template["Resources"][REPLAY]["Properties"]["Environment"]["Variables"]
        before = Environment(template, {}).sizes()[REPLAY]
        variables["AWS_USE_DUALSTACK_ENDPOINT"] = "true"
        self.assertEqual(Environment(template, {}).sizes()[REPLAY], before + len("AWS_USE_DUALSTACK_ENDPOINTtrue"))

    def test_a_hidden_parameter_counts_as_usual(self) -> None:
        more = self.sizes(GenesysClientSecret=environment.HIDDEN)[REPLAY] - self.sizes()[REPLAY]
        self.assertEqual(more, environment.USUAL_BYTES)

    def test_an_unknown_parameter_is_refused(self) -> None:
        with self.assertRaisesRegex(StackError, "MaxConcurrency: not a parameter of template.yaml\nhint: "):
            self.sizes(MaxConcurrency="5")


class Limits(unittest.TestCase):
    """Sizes at the limit of Lambda and near it."""

    def test_more_than_the_limit_is_refused_with_the_sizes(self) -> None:
        self.assertEqual(len(environment.check({REPLAY: MAX_ENVIRONMENT_BYTES})), 1)
        with self.assertRaisesRegex(StackError, "ReplayFunction have 4097 of 4096 bytes\nhint: "):
            environment.check({REPLAY: MAX_ENVIRONMENT_BYTES + 1, INGEST: 5})

    def test_a_warning_comes_from_ninety_percent_on(self) -> None:
        self.assertEqual(environment.check({REPLAY: WARN_ENVIRONMENT_BYTES - 1}), [])
        [line] = environment.check({REPLAY: WARN_ENVIRONMENT_BYTES, INGEST: 5})
        self.assertEqual(line, "the variables of ReplayFunction have 3686 of 4096 bytes")

    def test_a_word_without_a_value_is_refused(self) -> None:
        self.assertEqual(environment.parse(["A=b=c", "D="]), {"A": "b=c", "D": ""})
        with self.assertRaisesRegex(StackError, "Bare: not of the form Name=value"):
            environment.parse(["A=b", "Bare"])


if __name__ == "__main__":
    unittest.main()
