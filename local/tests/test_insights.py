"""The query language: what each stage answers, and that nothing unknown is passed over."""

from __future__ import annotations

import json
import unittest
from typing import Any

from local import insights
from local.insights_stages import QueryError


def event(at_ms: int, **members: Any) -> dict[str, Any]:
    """A log event as CloudWatch Logs has it."""
    return {"timestamp": at_ms, "message": json.dumps(members)}


HANDLED = [
    event(1000, message="dead letter handled", event_id="a", outcome="deferred", failure_code="DOWN", duration_ms=40),
    event(2000, message="dead letter handled", event_id="b", outcome="replayed", duration_ms=10, late=True),
    event(3000, message="dead letter handled", event_id="a", outcome="archived", failure_code="OVER", duration_ms=9),
    event(4000, message="dead letter handled", event_id="c", outcome="deferred", failure_code="DOWN", duration_ms=300),
    event(5000, message="batch handled", span={"request_id": "r1"}, records=[4, 5]),
    {"timestamp": 6000, "message": "START RequestId: r1"},
]


class Insights(unittest.TestCase):
    """What queries answer, and which are none."""

    def answer(self, query: str, events: list[dict[str, Any]] = HANDLED) -> list[tuple[Any, ...]]:
        result = insights.run(query, events)
        return [tuple(row.get(column) for column in result.columns) for row in result.rows]

    def check_filter(self, condition: str, expected: str) -> None:
        rows = self.answer(f"fields event_id | filter {condition} | sort @timestamp asc")
        self.assertEqual("".join(str(row[0]) for row in rows), expected)

    def test_filters_compare_texts_and_numbers(self) -> None:
        for condition, expected in {
            'failure_code = "DOWN"': "ac",
            "failure_code = 'DOWN'": "ac",
            'failure_code != "DOWN"': "a",
            'failure_code like "OV"': "a",
            "duration_ms = 9": "a",
            "duration_ms != 9": "abc",
            "duration_ms < 10": "a",
            "duration_ms <= 10": "ba",
            "duration_ms > 10": "ac",
            "duration_ms >= 10": "abc",
            "ispresent(failure_code)": "aac",
            "late = 1": "b",
            'failure_code = "DOWN" and event_id = "a"': "a",
            'event_id = "a" and duration_ms > 10 and outcome like "def"': "a",
        }.items():
            with self.subTest(condition):
                self.check_filter(condition, expected)

    def test_members_of_members_and_elements_have_dots(self) -> None:
        self.assertEqual(
            self.answer('fields span.request_id, records.1 | filter message = "batch handled"'), [("r1", 5)]
        )

    def test_events_come_newest_first_unless_sorted(self) -> None:
        newest_first = [("c",), ("a",), ("b",), ("a",)]
        self.assertEqual(self.answer("fields event_id | filter ispresent(event_id)"), newest_first)
        self.assertEqual(self.answer("fields event_id | filter ispresent(event_id) | limit 2"), newest_first[:2])

    def test_sorting_is_by_number_and_puts_absent_ones_last(self) -> None:
        self.assertEqual(
            self.answer("fields duration_ms | sort duration_ms asc"), [(9,), (10,), (40,), (300,), (None,), (None,)]
        )
        self.assertEqual(self.answer("fields duration_ms | sort duration_ms desc | limit 2"), [(300,), (40,)])

    def test_stats_groups_and_aggregates(self) -> None:
        self.assertEqual(
            self.answer(
                "filter ispresent(failure_code)"
                " | stats count(*) as n, latest(event_id) as last, earliest(event_id) as first,"
                " max(duration_ms) as most, min(duration_ms) as least, avg(duration_ms) as mean, sum(duration_ms) as s,"
                " count_distinct(outcome) as kinds"
                " by failure_code | sort n desc"
            ),
            [("DOWN", 2, "c", "a", 300, 40, 170.0, 340.0, 1), ("OVER", 1, "a", "a", 9, 9, 9.0, 9.0, 1)],
        )

    def test_stats_groups_by_several_fields_and_without_any(self) -> None:
        counted = self.answer("filter ispresent(outcome) | stats count(*) as n by outcome, failure_code")
        self.assertEqual(
            sorted(counted, key=str),
            [("archived", "OVER", 1), ("deferred", "DOWN", 2), ("replayed", None, 1)],
        )
        self.assertEqual(self.answer("stats count(*) as n"), [(len(HANDLED),)])

    def test_a_percentile_is_one_of_the_values(self) -> None:
        events = [event(at, ms=at) for at in range(1, 101)]
        self.assertEqual(self.answer("stats pct(ms, 95) as p95, pct(ms, 50) as p50", events), [(95, 50)])
        self.assertEqual(self.answer("stats pct(ms, 95) as p95", events[:1]), [(1,)])

    def test_a_lines_own_timestamp_comes_before_the_events(self) -> None:
        late = event(99000, timestamp="1970-01-01T00:00:02.5004Z", event_id="x")
        self.assertEqual(
            self.answer("fields @timestamp | filter event_id = 'x'", [late])[0][0], "1970-01-01 00:00:02.500"
        )
        self.assertEqual(self.answer("fields @timestamp | limit 1")[0][0], "1970-01-01 00:00:06.000")
        order = self.answer("fields event_id | filter ispresent(event_id) | sort @timestamp asc", [*HANDLED, late])
        self.assertEqual([row[0] for row in order], ["a", "b", "x", "a", "c"])

    def test_a_message_that_is_no_json_has_only_its_text(self) -> None:
        self.assertEqual(self.answer("fields @message | filter @message like 'START'"), [("START RequestId: r1",)])

    def test_what_is_not_known_is_an_error(self) -> None:
        for query in (
            "",
            "parse @message '*' as x",
            "fields a | ",
            "fields a b",
            "fields a as b",
            "fields strlen(a)",
            "filter a = 'x' or b = 'y'",
            "filter not ispresent(a)",
            "filter a in ['x']",
            "filter a like /x/",
            "filter a < 'x'",
            "filter a = b",
            "filter a",
            "filter a = 'x",
            "stats count() as n",
            "stats count(*)",
            "stats stddev(a) as s",
            "stats pct(a) as p",
            "stats count(*) as n by bin(5m)",
            "sort a",
            "sort a asc, b desc",
            "limit 2.5",
            "limit -1",
            "fields a # why",
            "FIELDS a",
        ):
            with self.subTest(query), self.assertRaises(QueryError):
                insights.run(query, HANDLED)

    def test_after_stats_there_are_only_its_results(self) -> None:
        for stage in ("fields outcome", "filter outcome = 'x'", "sort outcome asc", "stats max(outcome) as m"):
            with self.subTest(stage), self.assertRaises(QueryError):
                insights.run(f"stats count(*) as n by event_id | {stage}", HANDLED)

    def test_a_sum_of_texts_is_an_error(self) -> None:
        with self.assertRaises(QueryError):
            insights.run("stats sum(outcome) as n", HANDLED)


if __name__ == "__main__":
    unittest.main()
