"""CloudWatch Logs Insights, as far as the template's saved queries need it; what is not known here is an error.

The local AWS understands hardly any of the language, and ignores what it does not understand. The language itself:
docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html. Known here:

fields a, b.c, @timestamp, @message
filter CONDITION [and CONDITION ...]    a = "text", a != "text", a like "text", a = 3, !=, <, <=, >, >=, ispresent(a)
stats FUNCTION as name, ... [by a, b]   count(*), count_distinct(a), latest(a), earliest(a), max(a), min(a), avg(a),
                                        sum(a), pct(a, 95)
sort a asc|desc
limit 20

A condition on a field that an event does not have is false. Without a sort, the newest events come first.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from typing import Any

from . import insights_stages as stages
from .insights_stages import Condition, QueryError, Result, Row, Stage

TOKEN = re.compile(
    r"""\s*(?: (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
             | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
             | (?P<name>@?[A-Za-z_]\w*(?:\.\w+)*)
             | (?P<sign><=|>=|!=|[=<>|,()*]) )""",
    re.VERBOSE,
)
COMPARISONS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def run(query: str, events: Iterable[Mapping[str, Any]]) -> Result:
    """Answers a query on log events as FilterLogEvents returns them; raises QueryError."""
    result = Result(tuple(stages.row_of(event) for event in events))
    for stage in Parser(query).stages():
        result = stage(result)
    return stages.in_default_order(result)


class Parser:
    """Reads a query from left to right."""

    def __init__(self, query: str) -> None:
        self.tokens = tokens(query)
        self.at = 0

    def stages(self) -> list[Stage]:
        found = [self.stage()]
        while self.at < len(self.tokens):
            self.expect("|")
            found.append(self.stage())
        return found

    def stage(self) -> Stage:
        command = self.name()
        if command == "fields":
            return stages.fields(self.names())
        if command == "filter":
            return stages.keep(self.conditions())
        if command == "stats":
            return self.stats()
        if command == "sort":
            return stages.sort(self.name(), descending=self.one_of("asc", "desc") == "desc")
        if command == "limit":
            return stages.limit(self.count())
        raise QueryError(f"the command {command} is not known here")

    def conditions(self) -> list[tuple[str, Condition]]:
        found = [self.condition()]
        while self.accept("and"):
            found.append(self.condition())
        return found

    def condition(self) -> tuple[str, Condition]:
        """The field that is looked at, and what has to be true of a row."""
        name = self.name()
        if name == "ispresent":
            self.expect("(")
            name = self.name()
            self.expect(")")
            return name, lambda row: name in row
        sign = self.one_of("like", *COMPARISONS)
        if sign == "like":
            part = self.text()
            return name, lambda row: name in row and part in stages.text_of(row[name])
        compare = COMPARISONS[sign]
        if self.peek("text") and sign in {"=", "!="}:
            text = self.text()
            return name, lambda row: name in row and compare(stages.text_of(row[name]), text)
        number = self.number()

        def holds(row: Row) -> bool:
            value = stages.number_of(row.get(name))
            return value is not None and compare(value, number)

        return name, holds

    def stats(self) -> Stage:
        aggregates = [self.aggregate()]
        while self.accept(","):
            aggregates.append(self.aggregate())
        return stages.stats(aggregates, self.names() if self.accept("by") else [])

    def aggregate(self) -> stages.Aggregate:
        function = self.name()
        self.expect("(")
        if function == "count":
            self.expect("*")
            field, calculate = "*", len
        elif function == "pct":
            field = self.name()
            self.expect(",")
            calculate = stages.percentile(self.number())
        elif function in stages.FUNCTIONS:
            field, calculate = self.name(), stages.FUNCTIONS[function]
        else:
            raise QueryError(f"the function {function} is not known here")
        self.expect(")")
        self.expect("as")
        return stages.Aggregate(self.name(), field, calculate)

    def names(self) -> list[str]:
        found = [self.name()]
        while self.accept(","):
            found.append(self.name())
        return found

    # The rest reads one token.

    def peek(self, kind: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at][0] == kind

    def take(self, kind: str) -> str:
        if not self.peek(kind):
            raise QueryError(f"a {kind} is missing before {self.rest()}")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def name(self) -> str:
        return self.take("name")

    def number(self) -> float:
        return float(self.take("number"))

    def count(self) -> int:
        found = self.take("number")
        if not found.isdecimal():
            raise QueryError(f"{found} is no number of rows")
        return int(found)

    def text(self) -> str:
        return re.sub(r"\\(.)", r"\1", self.take("text")[1:-1])

    def accept(self, token: str) -> bool:
        there = self.at < len(self.tokens) and self.tokens[self.at] in {("name", token), ("sign", token)}
        self.at += there
        return there

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise QueryError(f"{token} is missing before {self.rest()}")

    def one_of(self, *choices: str) -> str:
        for token in choices:
            if self.accept(token):
                return token
        raise QueryError(f"one of {' '.join(choices)} is missing before {self.rest()}")

    def rest(self) -> str:
        return " ".join(text for _, text in self.tokens[self.at :]) or "the end"


def tokens(query: str) -> list[tuple[str, str]]:
    """The kinds and the texts of the query's words; raises QueryError at what is none."""
    found = []
    query = query.rstrip()
    position = 0
    while position < len(query):
        match = TOKEN.match(query, position)
        if match is None or match.lastgroup is None:
            raise QueryError(f"not known here: {query[position:].strip()}")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found
