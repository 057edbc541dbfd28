"""Runs a command beside busy loops, two a core, to simulate a busy machine.

Usage: python local/busy.py COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import os
import subprocess
import sys

LOOPS_PER_CORE = 2
# A loop ends when its parent process changes, so it ends with this program, also after SIGKILL.
LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: [None for _ in range(1_000_000)]"


def main(command: list[str]) -> int:
    """Returns the command's exit status."""
    count = LOOPS_PER_CORE * (os.cpu_count() or 1)
    print(f"busy: {count} busy loops beside: {' '.join(command)}", file=sys.stderr)
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(count)]
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
