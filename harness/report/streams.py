"""What became of streams, for a terminal: a line for each stream, replica and consumer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from harness.report.model import Stream, StreamConsumer, StreamReplica

MAX_LINES = 24
STREAM = ("uncertain", "removed", "recovered", "duplicates", "sequence_conflicts")
CONSUMER = ("uncertain", "redelivered", "duplicates", "out_of_order")


def print_streams(streams: Sequence[Stream], console: Console) -> None:
    """Print what was acknowledged, what replicas hold and what consumers delivered."""
    lines = [line for stream in streams for line in describe_stream(stream)]
    for line in lines[:MAX_LINES]:
        console.print(Text(line))
    if len(lines) > MAX_LINES:
        console.print(Text(f"and {len(lines) - MAX_LINES} more line(s) in report.json"))


def describe_stream(stream: Stream) -> Iterator[str]:
    """Yield the lines of one stream; counts that are zero are left out, but for loss."""
    yield (
        f"stream {stream.name}: {stream.acked} acked, {stream.lost} lost{_others(stream, STREAM)}"
    )
    for replica in stream.replicas:
        yield f"  {replica.server}: {_describe_replica(replica)}"
    for node, why in stream.unread.items():
        yield f"  {node}: NOT READ: {why}"
    for consumer in stream.consumers:
        yield (
            f"  consumer {consumer.name}: {consumer.delivered} delivered, {consumer.lost} lost"
            f"{_others(consumer, CONSUMER)}"
        )


def _describe_replica(replica: StreamReplica) -> str:
    parts = [name for name in ("prefix", "middle", "postfix") if getattr(replica, name)]
    where = ", ".join(f"{getattr(replica, name)} {name}" for name in parts)
    health = {True: ", healthy by its own word", False: ", not healthy", None: ""}
    lost = f"{replica.lost} lost" + (f" ({where})" if where else "")
    return f"{replica.stored} stored, {lost}{health[replica.healthy] if replica.lost else ''}"


def _others(part: Stream | StreamConsumer, names: Sequence[str]) -> str:
    counts = {name: getattr(part, name) for name in names}
    return "".join(f", {count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
