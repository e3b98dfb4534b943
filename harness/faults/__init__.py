"""What goes wrong: one file per fault.

A new fault is a new module here with one subclass of `Fault`; nothing else needs to
know of it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from harness.faults.base import Fault


def _discover() -> Mapping[str, type[Fault]]:
    found: dict[str, type[Fault]] = {}
    for module in pkgutil.iter_modules(__path__):
        namespace = vars(importlib.import_module(f"{__name__}.{module.name}"))
        for value in namespace.values():
            if not isinstance(value, type) or not issubclass(value, Fault):
                continue
            if not inspect.isabstract(value):
                (action,) = get_args(value.model_fields["action"].annotation)
                found[action] = value
    return MappingProxyType(dict(sorted(found.items())))


FAULTS = _discover()
