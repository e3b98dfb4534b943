"""Whether the harness may give itself a login of the servers' system account."""

from __future__ import annotations

from harness.scenario.model import ClusterSpec

# Whoever configures one of these says himself who may log in to which account.
LOGINS = ("authorization", "accounts", "operator", "system_account", "no_auth_user", "resolver")


def obstacle(spec: ClusterSpec) -> str | None:
    """Return why it may not; None where it may."""
    if spec.compose is not None:
        return "a Compose file's servers have a configuration of their own"
    if spec.attach is not None:
        return "servers that run already have a configuration of their own"
    if spec.container is not None and spec.container.arguments is not None:
        return "cluster.container.arguments configure the servers"
    if spec.authorization is not None:
        return "cluster.authorization says who may log in"
    given = {str(key).lower() for key in spec.config}
    for key in LOGINS:
        if key in given:
            return f"cluster.config.{key} says who may log in"
    return None
