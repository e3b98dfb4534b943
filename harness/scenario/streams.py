"""The streams of a scenario: what is asked of JetStream before clients connect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from harness.scenario.quantities import Count, Duration, Flag, Size
from harness.scenario.subjects import PATTERN, check_pattern, taken_by

NS_PER_S = 1_000_000_000
MAX_REPLICAS = 5

StreamName = Annotated[str, Field(pattern=r"^[^\s.*>/\\]+$", max_length=255)]
Filter = Annotated[
    str,
    Field(max_length=255),
    AfterValidator(check_pattern),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": 255}),
]

# What the harness says itself, and by which key of a scenario.
_OURS: Mapping[str, str] = {
    "name": "name",
    "subjects": "subjects",
    "num_replicas": "replicas",
    "storage": "storage",
    "retention": "retention",
    "discard": "discard",
    "max_msgs": "max_msgs",
    "max_bytes": "max_bytes",
    "max_age": "max_age",
    "max_msg_size": "max_msg_size",
    "max_msgs_per_subject": "max_msgs_per_subject",
    "duplicate_window": "duplicate_window",
    "compression": "compression",
    "allow_direct": "allow_direct",
}


class StreamSpec(BaseModel):
    """A stream (NATS docs, Streams); `subjects` are its name in lower case unless given.

    Limits that are not given are the server's defaults. `options` are further keys of the
    server's own API, as it spells them ($JS.API.STREAM.CREATE), such as ``deny_delete``;
    the stream is read back after it was made, and one that the server ignored is an error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    name: StreamName
    subjects: tuple[Filter, ...] = ()
    replicas: Annotated[Count, Field(le=MAX_REPLICAS)] = 1
    storage: Literal["file", "memory"] = "file"
    retention: Literal["limits", "interest", "workqueue"] = "limits"
    discard: Literal["old", "new"] = "old"
    max_msgs: Count | None = None
    max_bytes: Size | None = None
    max_age: Duration | None = None
    max_msg_size: Size | None = None
    max_msgs_per_subject: Count | None = None
    duplicate_window: Duration | None = None
    compression: Literal["none", "s2"] = "none"
    allow_direct: Flag = False
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _refuse_ours(self) -> StreamSpec:
        for key in self.options:
            if (ours := _OURS.get(key)) is not None:
                raise ValueError(f"options: {key!r} is given by the key {ours!r} beside it")
        return self

    @property
    def filters(self) -> tuple[str, ...]:
        """Return the subjects that it takes."""
        return taken_by(self.name, self.subjects)

    @property
    def keeps_all(self) -> bool:
        """Tell whether nothing is ever removed from it but by request."""
        limits = (self.max_msgs, self.max_bytes, self.max_age, self.max_msgs_per_subject)
        return self.retention == "limits" and not any(limits) and not self.options

    def config(self) -> dict[str, Any]:
        """Return what is sent to the server; durations are nanoseconds, sizes bytes."""
        given: dict[str, Any] = {
            "max_msgs": self.max_msgs,
            "max_bytes": self.max_bytes,
            "max_age": _ns(self.max_age),
            "max_msg_size": self.max_msg_size,
            "max_msgs_per_subject": self.max_msgs_per_subject,
            "duplicate_window": _ns(self.duplicate_window),
            "compression": None if self.compression == "none" else self.compression,
            "allow_direct": self.allow_direct or None,
        }
        return {
            "name": self.name,
            "subjects": list(self.filters),
            "num_replicas": self.replicas,
            "storage": self.storage,
            "retention": self.retention,
            "discard": self.discard,
            **{key: value for key, value in given.items() if value is not None},
            **self.options,
        }


def _ns(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * NS_PER_S)
