"""The Embedded Metric Format: what a document holds, and that a wrong one is refused."""

from __future__ import annotations

import copy
import unittest
from collections.abc import Callable
from typing import Any

from local import emf

NOW_MS = 1_800_000_000_000


def document() -> dict[str, Any]:
    """A line with two metrics under two dimension sets."""
    return {
        "_aws": {
            "Timestamp": NOW_MS,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Test",
                    "Dimensions": [["Function"], ["Function", "Category"]],
                    "Metrics": [{"Name": "Records", "Unit": "Count"}, {"Name": "Latency", "Unit": "Milliseconds"}],
                }
            ],
        },
        "Function": "replay",
        "Category": "UNKNOWN",
        "Records": 2,
        "Latency": [10, 20.5],
        "request_id": "no metric",
    }


def directive(line: dict[str, Any]) -> dict[str, Any]:
    return line["_aws"]["CloudWatchMetrics"][0]


class Documents(unittest.TestCase):
    """What a document holds, and which are none."""

    def data(self, line: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return list(emf.data(line, NOW_MS))

    def test_every_metric_is_put_under_every_dimension_set(self) -> None:
        data = self.data(document())
        self.assertEqual({namespace for namespace, _ in data}, {"Test"})
        function, category = {"Name": "Function", "Value": "replay"}, {"Name": "Category", "Value": "UNKNOWN"}
        self.assertEqual(
            [(datum["MetricName"], datum["Values"], datum["Unit"], datum["Dimensions"]) for _, datum in data],
            [
                ("Records", [2], "Count", [function]),
                ("Records", [2], "Count", [function, category]),
                ("Latency", [10, 20.5], "Milliseconds", [function]),
                ("Latency", [10, 20.5], "Milliseconds", [function, category]),
            ],
        )
        self.assertEqual({datum["Timestamp"] for _, datum in data}, {NOW_MS / 1000})

    def test_every_directive_counts(self) -> None:
        line = document()
        line["_aws"]["CloudWatchMetrics"].append({**copy.deepcopy(directive(line)), "Namespace": "Other"})
        self.assertEqual([namespace for namespace, _ in self.data(line)], ["Test"] * 4 + ["Other"] * 4)

    def test_no_dimension_is_a_dimension_set_too(self) -> None:
        line = document()
        directive(line)["Dimensions"] = [[]]
        self.assertEqual([datum["Dimensions"] for _, datum in self.data(line)], [[], []])

    def test_a_wrong_document_is_refused_and_told_why(self) -> None:
        wrong: dict[str, Callable[[dict[str, Any]], object]] = {
            "Timestamp is missing": lambda line: line["_aws"].pop("Timestamp"),
            "no time in milliseconds": lambda line: line["_aws"].update(Timestamp=NOW_MS // 1000),
            "too far from now": lambda line: line["_aws"].update(Timestamp=NOW_MS + 3 * 3600 * 1000),
            "expected int": lambda line: line["_aws"].update(Timestamp="2026-11-22T00:00:00Z"),
            "CloudWatchMetrics is missing": lambda line: line["_aws"].pop("CloudWatchMetrics"),
            "a directive is": lambda line: line["_aws"].update(CloudWatchMetrics=["Test"]),
            "Namespace is missing": lambda line: directive(line).pop("Namespace"),
            "Namespace has 0 characters": lambda line: directive(line).update(Namespace=""),
            "Dimensions is missing": lambda line: directive(line).pop("Dimensions"),
            "a dimension set is 'Function'": lambda line: directive(line).update(Dimensions=["Function"]),
            "a dimension is ['Function']": lambda line: directive(line).update(Dimensions=[[["Function"]]]),
            "Function is missing": lambda line: line.pop("Function"),
            "Category is None": lambda line: line.update(Category=None),
            "Category is 7": lambda line: line.update(Category=7),
            "Category has 0 characters": lambda line: line.update(Category=""),
            "31 dimensions": lambda line: directive(line).update(Dimensions=[["Function"] * 31]),
            "Metrics is missing": lambda line: directive(line).pop("Metrics"),
            "101 metrics": lambda line: directive(line).update(Metrics=[{"Name": "Records"}] * 101),
            "Name is missing": lambda line: directive(line).update(Metrics=[{"Unit": "Count"}]),
            "the unit 'ms'": lambda line: directive(line).update(Metrics=[{"Name": "Records", "Unit": "ms"}]),
            "storage resolution": lambda line: directive(line)["Metrics"][0].update(StorageResolution=5),
            "Records is None": lambda line: line.pop("Records"),
            "Records is '2'": lambda line: line.update(Records="2"),
            "Records is True": lambda line: line.update(Records=True),
            "Latency has 0 values": lambda line: line.update(Latency=[]),
            "Latency has 101 values": lambda line: line.update(Latency=[1] * 101),
            "Latency is [1, None]": lambda line: line.update(Latency=[1, None]),
            "Latency is [nan]": lambda line: line.update(Latency=[float("nan")]),
        }
        for reason, spoil in wrong.items():
            line = document()
            spoil(line)
            with self.subTest(reason), self.assertRaises(emf.EmfError) as refused:
                self.data(line)
            with self.subTest(reason):
                self.assertIn(reason, str(refused.exception))

    def test_other_lines_are_no_documents(self) -> None:
        self.assertTrue(emf.is_document(document()))
        self.assertFalse(emf.is_document({"message": "batch handled"}))


if __name__ == "__main__":
    unittest.main()
