"""Client libraries, one module each: the only places that import them.

A new library is a new module here with a class that meets `base.Adapter`, and its name
in `MODULES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from harness.errors import WorkerError
from harness.load.adapters.base import Adapter

MODULES: Mapping[str, str] = MappingProxyType({"nats-py": "nats_py"})


def load_adapter(name: str) -> Adapter:
    """Return the adapter called `name`; import only its library.

    Raises:
        WorkerError: there is none, or its library cannot be imported.
    """
    if name not in MODULES:
        raise WorkerError(f"there is no adapter {name!r}; there is {', '.join(MODULES)}")
    try:
        module = importlib.import_module(f"{__name__}.{MODULES[name]}")
    except ImportError as error:
        raise WorkerError(f"the client library of adapter {name!r} is missing: {error}") from error
    return cast("Adapter", module.ADAPTER)
