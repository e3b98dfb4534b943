"""Ask a server about itself over its monitoring port (NATS docs, Monitoring)."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread

from harness.cluster.protocols import Address
from harness.errors import ServerError

HTTP_OK = 200


@dataclass(frozen=True)
class Reply:
    """An HTTP status and the JSON beside it; `body` is empty and `text` is set when it is none."""

    status: int
    body: dict[str, Any]
    text: str = ""


@dataclass(frozen=True)
class Monitor:
    """The monitoring port of one server; every read is bounded by its `limit_s`."""

    address: Address

    async def get(self, path: str, limit_s: float) -> Reply:
        """Return the answer to ``GET path``; ServerError when none comes within the limit."""
        try:
            with anyio.fail_after(limit_s):
                return await anyio.to_thread.run_sync(
                    _get, self.address, path, limit_s, abandon_on_cancel=True
                )
        except (OSError, http.client.HTTPException, ValueError) as error:  # TimeoutError too
            raise ServerError(
                f"{self.address} did not answer {path} within {limit_s:g} s: "
                f"{type(error).__name__} {error}".rstrip()
            ) from error

    async def healthy(self, limit_s: float) -> bool:
        """Tell whether /healthz says ok; ServerError when it says nothing."""
        return (await self.get("/healthz", limit_s)).status == HTTP_OK

    async def remotes(self, limit_s: float) -> int:
        """Return the number of distinct servers it has routes to: /varz `remotes`.

        Since 2.10 routes are pooled, so a count of routes says nothing.
        """
        return int((await self.get("/varz", limit_s)).body.get("remotes", 0))

    async def lacks_routes_to(self, names: frozenset[str], limit_s: float) -> frozenset[str]:
        """Return those of the named servers that it has no route to: /routez `remote_name`.

        Releases before 2.10 do not name them; there, any shortfall in the number of
        distinct `remote_id` makes it all of them.
        """
        routes = (await self.get("/routez", limit_s)).body.get("routes") or []
        if all("remote_name" in route for route in routes):
            return names - {str(route["remote_name"]) for route in routes}
        found = {str(route.get("remote_id")) for route in routes}
        return frozenset() if len(found) >= len(names) else names

    async def gateways(self, limit_s: float) -> frozenset[str]:
        """Return the clusters that it has a gateway to, of its own making: /gatewayz."""
        body = (await self.get("/gatewayz", limit_s)).body
        return frozenset(body.get("outbound_gateways") or {})

    async def leafs(self, limit_s: float) -> int:
        """Return the number of its leaf node connections, whoever made them: /leafz."""
        return int((await self.get("/leafz", limit_s)).body.get("leafnodes", 0))

    async def connections(self, limit_s: float, *, closed: bool = False) -> list[dict[str, Any]]:
        """Return /connz `connections`: the open ones, or those closed with their reason."""
        path = "/connz?state=closed" if closed else "/connz"
        return list((await self.get(path, limit_s)).body.get("connections") or [])


def _get(address: Address, path: str, limit_s: float) -> Reply:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=limit_s)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        said = response.read()
        if said.startswith(b"{"):
            return Reply(response.status, json.loads(said))
        return Reply(response.status, {}, said.decode(errors="replace"))
    finally:
        connection.close()
