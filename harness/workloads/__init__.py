"""What clients do: one file per kind of traffic.

A new kind is a new module here with one subclass of `Workload`; nothing else needs to
know of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from harness.workloads.base import Workload


def _discover() -> Mapping[str, type[Workload]]:
    found: dict[str, type[Workload]] = {}
    for module in pkgutil.iter_modules(__path__):
        namespace = vars(importlib.import_module(f"{__name__}.{module.name}"))
        for value in namespace.values():
            if isinstance(value, type) and issubclass(value, Workload) and value is not Workload:
                (kind,) = get_args(value.model_fields["kind"].annotation)
                found[kind] = value
    return MappingProxyType(dict(sorted(found.items())))


WORKLOADS = _discover()
