"""The keys of a service (Compose Specification, Services), and what becomes of each.

What is not here at all is unknown to Compose too, except ``x-`` extensions, which mean
nothing to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

HONOURED = frozenset(
    (
        *("image", "command", "entrypoint", "environment", "env_file", "user", "group_add"),
        *("expose", "ports", "networks", "hostname", "container_name", "depends_on", "labels"),
        *("volumes", "tmpfs", "configs", "secrets", "working_dir", "read_only", "init"),
        *("cap_add", "cap_drop", "security_opt", "sysctls", "ulimits", "shm_size"),
        *("mem_limit", "cpus", "pids_limit", "deploy", "stop_signal", "stop_grace_period"),
        *("profiles", "scale", "privileged"),
    )
)
REFUSED = frozenset(("build", "extends"))  # each with advice of its own

_OWN_PROCESS = "the harness starts and stops the servers itself"
_OWN_CHECK = "the harness asks the server's own /healthz"
_OWN_LOGS = "the harness keeps the servers' logs in the run folder"
_AS_IT_IS = "the harness runs the image that the Engine has, and pulls it only where it has none"
_NOBODY = "nobody sits at the servers' terminals"
_FOR_TOOLS = "it is for other tools"

NOTED: Mapping[str, str] = MappingProxyType(
    {
        "restart": _OWN_PROCESS,
        "healthcheck": _OWN_CHECK,
        "logging": _OWN_LOGS,
        "log_driver": _OWN_LOGS,
        "log_opt": _OWN_LOGS,
        "attach": _OWN_LOGS,
        "pull_policy": _AS_IT_IS,
        "platform": _AS_IT_IS,
        "stdin_open": _NOBODY,
        "tty": _NOBODY,
        "develop": _FOR_TOOLS,
        "annotations": _FOR_TOOLS,
        "mem_reservation": "it is a hint for placing containers on a busy machine",
    }
)

_OWN_NETWORK = "the harness makes the network that the servers and clients share"
_MEASURES = "it would change what is measured in a way that the harness does not control"
_HARDWARE = "the harness gives servers no devices and no further privileges"

UNSUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "network_mode",
                "mac_address",
                "links",
                "external_links",
                "extra_hosts",
                "dns",
                "dns_opt",
                "dns_search",
                "domainname",
                "net",
            ),
            _OWN_NETWORK,
        ),
        **dict.fromkeys(
            (
                "cpu_count",
                "cpu_percent",
                "cpu_period",
                "cpu_quota",
                "cpu_rt_period",
                "cpu_rt_runtime",
                "cpu_shares",
                "cpuset",
                "blkio_config",
                "mem_swappiness",
                "memswap_limit",
                "oom_kill_disable",
                "oom_score_adj",
                "storage_opt",
                "cgroup",
                "cgroup_parent",
            ),
            _MEASURES,
        ),
        **dict.fromkeys(
            (
                "device_cgroup_rules",
                "devices",
                "gpus",
                "credential_spec",
                "ipc",
                "isolation",
                "pid",
                "runtime",
                "userns_mode",
                "uts",
                "use_api_socket",
            ),
            _HARDWARE,
        ),
        **dict.fromkeys(
            ("post_start", "pre_stop"), "the harness runs nothing inside the containers"
        ),
        **dict.fromkeys(("provider", "models"), "it is no part of a NATS server"),
        "volumes_from": "name the volumes of the service themselves",
        "label_file": "write the labels under `labels`",
    }
)

KNOWN = (*sorted(HONOURED), *sorted(REFUSED), *NOTED, *UNSUPPORTED)

TOP_LEVEL = ("services", "networks", "volumes", "configs", "secrets", "name", "version", "include")
TOP_LEVEL_NOTED: Mapping[str, str] = MappingProxyType(
    {
        "version": "it is obsolete; Compose ignores it too",
        "name": "the harness names what it makes itself",
        "models": "nothing of it is started",
    }
)
