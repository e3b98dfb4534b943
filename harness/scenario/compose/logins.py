"""Who may connect to a server, read from its configuration file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from harness.scenario.compose.model import Login

_BCRYPT = ("$2a$", "$2b$", "$2x$", "$2y$")


class UnknownLoginError(Exception):
    """Name what clients have to show, where it is no user with a plain password."""


def find_login(settings: Mapping[str, Any]) -> Login | None:
    """Return a user and a password that the server takes; None where it asks for nothing.

    Raises:
        UnknownLoginError: it asks for something else.
    """
    if "no_auth_user" in settings:
        return None
    if "operator" in settings or "resolver" in settings:
        raise UnknownLoginError("a JWT")
    authorization = settings.get("authorization")
    own = authorization if isinstance(authorization, Mapping) else {}
    users = list(_users(settings))
    for user in users:
        name, password = user.get("user"), user.get("password", user.get("pass"))
        if name is None or password is None or str(password).startswith(_BCRYPT):
            continue
        return Login(user=str(name), password=SecretStr(str(password)))
    if users:
        raise UnknownLoginError("a hashed password, a key or a certificate")
    if "token" in own or "auth_callout" in own:
        raise UnknownLoginError("a token")
    return None


def _users(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield those who may log in, those of the system account excepted."""
    authorization = settings.get("authorization")
    if isinstance(authorization, Mapping):
        if "user" in authorization or "username" in authorization:
            yield {"user": authorization.get("username"), **authorization}
        yield from _listed(authorization.get("users"))
    accounts = settings.get("accounts")
    if isinstance(accounts, Mapping):
        system = str(settings.get("system_account", "")).lower()
        for name, account in accounts.items():
            if name != system and isinstance(account, Mapping):
                yield from _listed(account.get("users"))


def _listed(users: object) -> Iterator[Mapping[str, Any]]:
    for user in users if isinstance(users, list) else ():
        if isinstance(user, Mapping):
            yield user
