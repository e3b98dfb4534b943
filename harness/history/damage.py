"""What goes wrong in reading or judging a run folder, told in one line.

Folders lie on disks for years, are copied, cut and edited: nothing in them can be relied on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from harness.errors import HarnessError, ReportError

ERROR_CHARS = 300


@contextmanager
def told_in_a_line(folder: Path, problems: Sequence[str] = ()) -> Iterator[None]:
    """Read or judge a run folder in the body; `problems` are what is known to be wrong with it.

    Raises:
        ReportError: the body came upon what no run leaves behind, or what it may not read.
    """
    try:
        yield
    except HarnessError:
        raise
    except OSError as error:
        what = folder if error.filename is None else error.filename
        raise ReportError(f"{what}: {error.strerror or error}") from error
    except Exception as error:
        why = "; ".join(problems) or "it is damaged, or the harness has a defect"
        raise ReportError(f"{folder} cannot be judged: {why}: {describe(error)}") from error


def describe(error: Exception) -> str:
    """Return what an error says, in one line."""
    said = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        said = f"{error.title}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__}: {' '.join(said.split())[:ERROR_CHARS]}".removesuffix(": ")
