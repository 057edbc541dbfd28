"""The sums of EMF documents against log lines."""

from __future__ import annotations

import unittest
from typing import Any

from local import metrics


def document(dimensions: list[str], **values: Any) -> dict[str, Any]:
    """A log line with metrics of one dimension set."""
    directive = {"Dimensions": [dimensions], "Metrics": [{"Name": name} for name in values]}
    return {"_aws": {"CloudWatchMetrics": [directive]}, **values}


LINES = [
    {"message": "dead letter handled", "outcome": "replayed"},
    document(["FunctionName"], Records=2, Replayed=1, Archived=1, RecordLatency=[3, 4]),
    document(["FunctionName", "Category"], Replayed=1),
    document(["FunctionName"], Records=1, Replayed=1),
]
VERDICTS = [{"outcome": "replayed"}, {"outcome": "replayed"}, {"outcome": "archived"}]


class Metrics(unittest.TestCase):
    """Sums and expected counts."""

    def test_documents_of_a_category_are_not_added_twice(self) -> None:
        self.assertEqual(metrics.sums(LINES), {"Records": 3, "Replayed": 2, "Archived": 1, "RecordLatency": 7})

    def test_sums_that_agree_are_no_finding(self) -> None:
        self.assertEqual(metrics.disagreements("replay", LINES, metrics.of_records(VERDICTS)), [])

    def test_each_wrong_sum_is_a_finding(self) -> None:
        expected = metrics.of_records([*VERDICTS, {"outcome": "deferred"}])
        found = metrics.disagreements("replay", LINES, expected)
        self.assertEqual(
            [text.split(" adds")[0] for text in found],
            [
                "replay: the metric Records",
                "replay: the metric Deferred",
            ],
        )

    def test_requests_are_counted_by_their_status(self) -> None:
        counted = metrics.of_requests([{"status": status} for status in (200, 200, 401, 404, 503)])
        self.assertEqual(counted, {"Requests": 5, "Accepted": 2, "Unauthenticated": 1, "Refused": 1, "Unavailable": 1})


if __name__ == "__main__":
    unittest.main()
