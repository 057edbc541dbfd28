"""The sums of EMF documents against log lines."""

from __future__ import annotations

import unittest
from typing import Any

from local import metrics


def document(dimensions: list[str], **values: Any) -> dict[str, Any]:
    """A log line with metrics of one dimension set."""
    directive = {"Dimensions": [dimensions], "Metrics": [{"Name": name} for name in values]}
    return {"_aws": {"CloudWatchMetrics": [directive]}, **values}


RECORDS = [{"message": "dead letter handled", "outcome": outcome} for outcome in ("replayed", "replayed", "archived")]
REQUESTS = [{"message": "request handled", "status": status} for status in (200, 200, 401, 404, 503)]
DOCUMENTS = [
    document(["FunctionName"], Records=2, Replayed=1, Archived=1, RecordLatency=[3, 4]),
    # A part of the document above.
    document(["FunctionName", "Category"], Replayed=1),
    document(["FunctionName"], Records=1, Replayed=1),
    document(["FunctionName"], Requests=5, Accepted=2, Unauthenticated=1, Refused=1, Unavailable=1),
]


class Metrics(unittest.TestCase):
    """Sums and expected counts."""

    def test_sums_that_agree_are_no_finding(self) -> None:
        self.assertEqual(metrics.disagreements("both", [*RECORDS, *REQUESTS, *DOCUMENTS]), [])
        self.assertEqual(metrics.sums(DOCUMENTS)["RecordLatency"], 7)

    def test_each_wrong_sum_is_a_finding(self) -> None:
        found = metrics.disagreements("both", [*RECORDS, *REQUESTS[1:], *DOCUMENTS[1:]])
        names = ["Accepted", "Archived", "Records", "Replayed", "Requests"]
        self.assertEqual([text.split()[3] for text in found], names)


if __name__ == "__main__":
    unittest.main()
