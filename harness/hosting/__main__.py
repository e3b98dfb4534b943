"""The entry point of a host: ``python -m harness.hosting PARENT_PID``, its channel as stdin."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Serve one cluster and exit."""
    # One thread until the lab is entered: numpy's linear algebra would start its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from harness.hosting.host import serve

    sys.exit(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
