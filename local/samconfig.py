"""The values of samconfig.toml, which the operator's setup writes, for `make deploy`.

`python local/samconfig.py stack_name` prints a value, or nothing.
Not with tomllib, because Python 3.10 does not have it.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys

FILE = "samconfig.toml"
SECTION = re.compile(r"^\[default\.(?:deploy|global)\.parameters\]\n(.*?)(?=^\[|\Z)", re.DOTALL | re.MULTILINE)


def value(text: str, key: str) -> str:
    """A text of the section of `sam deploy`; empty if it has none."""
    for section in SECTION.findall(text):
        if found := re.search(rf"^{key} *= *(?:'([^'\n]*)'|(\"(?:[^\"\\\n]|\\.)*\"))", section, re.MULTILINE):
            literal, escaped = found.groups()
            return literal if escaped is None else str(json.loads(escaped))
    return ""


def main(key: str) -> None:
    path = pathlib.Path(FILE)
    if path.is_file():
        print(value(path.read_text(), key))


if __name__ == "__main__":
    main(*sys.argv[1:])
