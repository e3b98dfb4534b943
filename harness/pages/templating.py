"""Fill the templates: one self-contained page, whose policy lets it run only what is in it."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness import __version__
from harness.errors import ReportError
from harness.pages.strips import EDGE, HEIGHT
from harness.report.words import describe_sign, describe_unnoticed
from harness.units import human_duration

CHANGE_SIGNS = {
    "regressed": "✗",
    "improved": "✓",
    "unchanged": "=",
    "too-few-runs": "?",
    "not-comparable": "?",
    "regression": "✗",
    "no-regression": "✓",
}
SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}


@cache
def open_templates() -> Environment:
    """Return the environment that all pages are made in; it escapes whatever it is given."""
    environment = Environment(
        loader=PackageLoader("harness.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        signs=SIGNS,
        change_signs=CHANGE_SIGNS,
        strip_height=HEIGHT,
        strip_edge=EDGE,
        version=__version__,
        style=_read("page.css"),
        page_script=_read("page.js"),
    )
    environment.filters.update(
        json_block=json_block,
        digest=digest,
        duration=_duration,
        at=_at,
        pretty=_pretty,
        cells=_cells,
        sign=describe_sign,
        unnoticed=describe_unnoticed,
    )
    return environment


def render(template: str, **facts: Any) -> str:
    """Return the page that a template makes of the facts."""
    return open_templates().get_template(template).render(**facts)


def json_block(value: Any) -> Markup:
    """Return JSON that may stand inside a script element: no text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - no character of markup is left in it


def digest(script: str) -> str:
    """Return what a content security policy calls a script by (CSP Level 3, hash-source)."""
    hashed = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(hashed).decode()}'"


@cache
def timeline_scripts() -> tuple[Markup, ...]:
    """Return the scripts of a page with timelines: plotly.js, and what draws with it."""
    return (_read_plotly(), _read("timeline.js"))


def _read(name: str) -> Markup:
    text = files("harness.pages").joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - a file of this package


def _read_plotly() -> Markup:
    """Return plotly.js from its package's data, without importing the package: that is slow."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ReportError("cannot draw timelines: the package plotly is not installed")
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ReportError(f"cannot draw timelines: {path}: {error.strerror}") from error
    # In a string of JavaScript, the same text; in a page, no end of the element.
    return Markup(text.replace("</script", "<\\/script"))  # noqa: S704 - a file of a package


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else human_duration(seconds)


def _at(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.3f} s"


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _cells(part: Any, *names: str) -> list[Any]:
    return [getattr(part, name) for name in names]
