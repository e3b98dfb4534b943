"""What states and marks look like: by colour, and by pattern or shape as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

# Okabe and Ito's palette; what is wrong is vermillion and hatched, never a colour alone.
BLUE, GREEN, SKY, PURPLE, YELLOW = "#0072B2", "#009E73", "#56B4E9", "#CC79A7", "#F0E442"
ORANGE, VERMILLION, GREY = "#E69F00", "#D55E00", "#8C96A3"
SERVER_COLOURS = (BLUE, GREEN, SKY, PURPLE, YELLOW)
SERVER_PATTERNS = ("", ".", "-", "|", "+")
LOOKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "phase": (GREY, ""),
        "inject": (VERMILLION, "/"),
        "hold": (ORANGE, ""),
        "heal": (GREEN, "\\"),
        "up": (GREEN, ""),
        "struck": (ORANGE, "\\"),
        "down": (VERMILLION, "/"),
        "nobody": (VERMILLION, "/"),
        "disconnected": (VERMILLION, "/"),
        "silent": (ORANGE, "x"),
        "gave-up": (GREY, "x"),
    }
)
MARKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "lost": ("x", VERMILLION),
        "stream lost": ("cross", VERMILLION),
        "consumer lost": ("hourglass", VERMILLION),
        "unknown": ("diamond-open", PURPLE),
        "refused": ("square-open", ORANGE),
    }
)
BRIEF = frozenset(
    {"inject", "heal", "struck", "down", "nobody", "disconnected", "silent", "gave-up"}
)


def server_looks(servers: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the colour and pattern of each server, the same on all pages of these servers."""
    several = len(SERVER_COLOURS)
    return {
        name: (
            SERVER_COLOURS[place % several],
            SERVER_PATTERNS[place // several % len(SERVER_PATTERNS)],
        )
        for place, name in enumerate(servers)
    }
