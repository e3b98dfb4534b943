"""Compose files as people have them, and short ways to read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.scenario.compose.model import ComposeProject
from harness.scenario.compose.project import Outcome, read_compose

GUIDE = """\
services:
  nats:
    image: dhi.io/nats:<tag>
    ports:
      - "4222:4222"
      - "8222:8222"
    command: "--cluster_name NATS --cluster nats://0.0.0.0:6222 --http_port 8222"
    networks: ["nats"]
  nats-1:
    image: dhi.io/nats:<tag>
    command: "--cluster_name NATS --cluster nats://0.0.0.0:6222 --routes=nats://ruser:T0pS3cr3t@nats:6222"
    networks: ["nats"]
    depends_on: ["nats"]
  nats-2:
    image: dhi.io/nats:<tag>
    command: "--cluster_name NATS --cluster nats://0.0.0.0:6222 --routes=nats://ruser:T0pS3cr3t@nats:6222"
    networks: ["nats"]
    depends_on: ["nats"]

networks:
  nats:
    name: nats
"""

SINGLE = """\
services:
  nats:
    image: nats:2.12
    command: [--http_port, "8222"]
"""

REALISTIC = """\
# A team's cluster: JetStream, a shared configuration, an application and its tools.
version: "3.9"
name: shop
x-server: &server
  image: docker.io/library/nats:${NATS_TAG:-2.12.3}
  restart: unless-stopped
  networks: [backplane]
  read_only: true
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  user: "65532:65532"
  stop_signal: SIGUSR2
  stop_grace_period: 1m30s
  ulimits: {nofile: {soft: 65536, hard: 65536}, nproc: 512}
  tmpfs: ["/tmp:size=64m,mode=1777"]
  deploy:
    replicas: 1
    resources:
      limits: {cpus: "0.50", memory: 512M, pids: 200}
      reservations: {memory: 128M}
  logging: {driver: json-file, options: {max-size: 10m}}
  healthcheck: {test: ["CMD", "wget", "-q", "http://localhost:8222/healthz"], interval: 5s}

services:
  nats-a:
    <<: *server
    container_name: shop-nats-a
    hostname: a.shop.internal
    command: ["-c", "/etc/nats/nats.conf", "--name", "a", "--js", "-sd", "/data"]
    ports: ["4222:4222", "127.0.0.1:8222:8222/tcp"]
    environment: {GOMEMLIMIT: 400MiB, ROUTE_PASSWORD: "${ROUTE_PASSWORD}", TZ: UTC}
    volumes:
      - data-a:/data
      - ./nats.conf:/etc/nats/nats.conf:ro
    labels: {team: shop}
  nats-b:
    <<: *server
    command: >-
      -c /etc/nats/nats.conf --name b --js -sd /data
    environment: ["GOMEMLIMIT=400MiB", "ROUTE_PASSWORD"]
    networks: {backplane: {aliases: [b, backup]}}
    depends_on: {nats-a: {condition: service_started}}
    volumes:
      - {type: volume, source: data-b, target: /data}
      - {type: bind, source: ./nats.conf, target: /etc/nats/nats.conf, read_only: true}
  box:
    image: natsio/nats-box:latest
    entrypoint: sleep infinity
  orders:
    build: ./orders
    depends_on: [nats-a]
  exporter:
    image: natsio/prometheus-nats-exporter:0.15.0
    command: -varz http://nats-a:8222

networks:
  backplane: {driver: bridge, ipam: {config: [{subnet: 172.28.0.0/24}]}}
volumes:
  data-a:
  data-b: {labels: {keep: "yes"}}
"""

CONFIGURATION = """\
# shared by all
port: 4223
http: 0.0.0.0:8333
jetstream { store_dir: /data }
cluster {
  name: shop
  listen: 0.0.0.0:6333
  authorization { user: route, password: $ROUTE_PASSWORD }
  routes = [
    nats-route://route:RSECRET@shop-nats-a:6333
    nats-route://route:RSECRET@backup:6333
  ]
}
authorization: { user: shop, password: CSECRET }
"""

Reads = Callable[..., Outcome]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    """Return the outcome of a Compose file's text; variables are given by name."""

    def read(text: str, only: list[str] | None = None, **variables: str) -> Outcome:
        return read_compose(text, "c.yaml", tmp_path, only, variables)

    return read


@pytest.fixture
def project(reads: Reads) -> Callable[..., ComposeProject]:
    """Return the project of a text that is sound."""

    def read(text: str, only: list[str] | None = None, **variables: str) -> ComposeProject:
        outcome = reads(text, only, **variables)
        assert outcome.problems == ()
        assert outcome.project is not None
        return outcome.project

    return read


@pytest.fixture
def refused(reads: Reads) -> Callable[..., list[str]]:
    """Return ``line:column: path: message`` for each problem of a text."""

    def read(text: str, only: list[str] | None = None, **variables: str) -> list[str]:
        outcome = reads(text, only, **variables)
        assert outcome.project is None
        lines = []
        for problem in outcome.problems:
            assert problem.position is not None
            assert problem.source == "c.yaml"
            path = ".".join(map(str, problem.path))
            lines.append(
                f"{problem.position.line}:{problem.position.column}: {path}: {problem.message}"
            )
        return lines

    return read


@pytest.fixture
def guide() -> str:
    return GUIDE


@pytest.fixture
def single() -> str:
    return SINGLE


@pytest.fixture
def realistic(tmp_path: Path) -> str:
    tmp_path.joinpath("nats.conf").write_text(CONFIGURATION, encoding="utf-8")
    return REALISTIC
