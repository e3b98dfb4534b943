"""The entry point: signals are heard from the first line on, then the commands load."""

from __future__ import annotations

import os
import sys

from harness import signals


def main() -> None:
    """Run the command line and exit with its code."""
    signals.remember()
    # One thread until the lab is entered: numpy's linear algebra would start its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from harness.cli import command

    code = command()
    signals.ignore()
    sys.exit(code)


if __name__ == "__main__":
    main()
