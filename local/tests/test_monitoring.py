"""The demo's checks of dashboards."""

from __future__ import annotations

import unittest

from local import cloudwatch, dashboard
from local.cloudwatch import Metric

FUNCTION = ("FunctionName", "replay")
VERDICTS = [
    {"outcome": "replayed", "category": "UNKNOWN"},
    {"outcome": "replayed", "category": "TARGET_MISSING", "possible_duplicate": True},
    {"outcome": "archived"},
]
SUMS = {
    ("Records", None): 3,
    ("PossibleDuplicates", None): 1,
    ("Unaccounted", None): 0,
    ("Unrecorded", None): 0,
    ("Expiring", None): 0,
    ("Replayed", None): 2,
    ("Archived", None): 1,
    ("Replayed", "UNKNOWN"): 1,
    ("Replayed", "TARGET_MISSING"): 1,
    ("Replayed", "NONE"): 0,
    ("Archived", "NONE"): 1,
}


def shown(sums: dict[tuple[str, str | None], float]) -> list[tuple[dashboard.Graph, float]]:
    """Graphs of sums, as the dashboard shows them."""
    return [
        (
            dashboard.Graph(
                "any",
                Metric(
                    dashboard.NAMESPACE, name, frozenset({FUNCTION, *([("Category", category)] if category else [])})
                ),
                "Sum",
                None,
            ),
            value,
        )
        for (name, category), value in sums.items()
    ]


class Dashboard(unittest.TestCase):
    """Its figures against the log, and its body."""

    def test_figures_of_the_log_are_in_order(self) -> None:
        self.assertEqual(dashboard.disagreements(shown(SUMS), VERDICTS), [])

    def test_a_figure_that_is_not_the_logs_is_found(self) -> None:
        for wrong in (
            {("Records", None): 4},
            {("Replayed", None): 1},
            {("PossibleDuplicates", None): 0},
            {("Unaccounted", None): 1},
            {("Unrecorded", None): 1},
            {("Replayed", "UNKNOWN"): 2},
            {("Replayed", "NONE"): 1},
            {("Archived", "NONE"): 0},
            {("Returned", None): 1},
        ):
            with self.subTest(wrong):
                self.assertEqual(len(dashboard.disagreements(shown({**SUMS, **wrong}), VERDICTS)), 1)

    def test_a_figure_that_is_missing_is_found(self) -> None:
        for key in SUMS.keys() - {("Replayed", "NONE")}:
            rest = {name: value for name, value in SUMS.items() if name != key}
            with self.subTest(key):
                self.assertEqual(len(dashboard.disagreements(shown(rest), VERDICTS)), 1)

    def test_a_widget_without_data_is_found(self) -> None:
        [(graph, value), *_] = shown(SUMS)
        self.assertEqual(dashboard.empty_widgets([graph], [(graph, value)]), [])
        self.assertEqual(dashboard.empty_widgets([graph], []), ["the widget 'any' has no data"])

    def test_metrics_may_be_abbreviated(self) -> None:
        properties = {
            "title": "T",
            "stat": "Sum",
            "metrics": [
                ["N", "A", "Function", "f", "Category", "x"],
                ["...", "y", {"stat": "p95", "label": "why"}],
                [".", "B", ".", "g", ".", "."],
            ],
        }
        graphs = list(dashboard.graphs_of(properties))
        self.assertEqual(
            [(graph.metric.name, dict(graph.metric.dimensions), graph.statistic, graph.label) for graph in graphs],
            [
                ("A", {"Function": "f", "Category": "x"}, "Sum", None),
                ("A", {"Function": "f", "Category": "y"}, "p95", "why"),
                ("B", {"Function": "g", "Category": "y"}, "Sum", None),
            ],
        )


class CloudWatch(unittest.TestCase):
    """What is read out of the platform's log lines."""

    def test_the_line_at_the_end_of_an_invocation_is_known(self) -> None:
        line = "REPORT RequestId: 7a-1\tDuration: 12 ms\tBilled Duration: 12 ms\tMemory Size: 256 MB"
        found = cloudwatch.REPORT.fullmatch(line)
        self.assertEqual(found.groups() if found else None, ("7a-1", "12"))


if __name__ == "__main__":
    unittest.main()
