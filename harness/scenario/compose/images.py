"""Names of images: which are NATS servers, which are only placeholders."""

from __future__ import annotations

import re

# Compose and distribution: host[:port]/path:tag@digest, of these characters only.
_REFERENCE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9._/-]+(?::[\w][\w.-]{0,127})?(?:@[a-z0-9]+:[a-f0-9]+)?"
    r"|sha256:[a-f0-9]{64}"
)
_PLACEHOLDER = re.compile(r"<[A-Za-z0-9 _.-]+>")
_SERVER = re.compile(r"(?:[a-z0-9._]+-+)*nats(?:-server)?")


def is_placeholder(image: str) -> bool:
    """Tell whether a part such as ``<tag>`` stands for another text."""
    return _PLACEHOLDER.search(image) is not None


def is_reference(image: str) -> bool:
    """Tell whether it has the form of an image's name, placeholders aside."""
    return _REFERENCE.fullmatch(_PLACEHOLDER.sub("x", image)) is not None


def is_server(image: str) -> bool:
    """Tell whether it is named like a NATS server's: nats, nats-server, dhi-nats..."""
    last = _PLACEHOLDER.sub("x", image).partition("@")[0].rpartition("/")[2].partition(":")[0]
    return _SERVER.fullmatch(last.lower()) is not None
