"""Rules about how much traffic there is: clients, rates, messages and their sizes."""

from __future__ import annotations

from collections.abc import Iterator

from harness.scenario.model import Scenario
from harness.scenario.problems import Problem
from harness.scenario.quantities import MAX_CLIENTS
from harness.scenario.schedule import certain_fault_s
from harness.scenario.vocabulary import Vocabulary
from harness.units import format_size

MAX_RATE_PER_S = 1_000_000
MAX_MESSAGES = 500_000_000  # sent and delivered in one iteration; at some 65 B each, 33 GB
DEFAULT_MAX_PAYLOAD_BYTES = 1024 * 1024


def check_clients(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """There are no more clients than a machine can hold."""
    total = 0
    for index, workload in enumerate(scenario.workloads):
        total += workload.size
        if total > MAX_CLIENTS:
            message = f"{total} clients up to here; expected at most {MAX_CLIENTS} in all"
            yield Problem(("workloads", index), message)
            return


def check_load(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """There is some time in which messages are sent: drain begins when that ends."""
    if not _load_s(scenario):
        message = "no message is ever sent: give warmup, steady, fault or recovery some time"
        yield Problem(("phases",), message)


def _load_s(scenario: Scenario) -> float:
    phases = scenario.phases
    return phases.warmup + phases.steady + certain_fault_s(scenario) + phases.recovery


def check_messages(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """There are no more messages than can be accounted for: each is a row in memory."""
    length_s, total = _load_s(scenario), 0.0
    for index, workload in enumerate(scenario.workloads):
        rate = getattr(workload, "rate", 0.0)
        if rate > MAX_RATE_PER_S:
            return  # `check_rates` says so
        total += rate * length_s * (1 + workload.deliveries)
        if total > MAX_MESSAGES:
            message = (
                f"{total:.0f} messages sent and delivered up to here, in {length_s:.0f} s; "
                f"expected at most {MAX_MESSAGES} in all"
            )
            yield Problem(("workloads", index, "rate"), message)
            return


def check_rates(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Rates are within what a machine can be asked for at all."""
    for index, workload in enumerate(scenario.workloads):
        rate = getattr(workload, "rate", None)
        if rate is not None and rate > MAX_RATE_PER_S:
            message = f"no machine can meet this rate; expected at most {MAX_RATE_PER_S}/s"
            yield Problem(("workloads", index, "rate"), message)


def check_payloads(scenario: Scenario, _: Vocabulary) -> Iterator[Problem]:
    """Payloads are not larger than what the servers take (NATS docs, max_payload)."""
    if scenario.cluster.compose is not None or scenario.cluster.attach is not None:
        return  # what these servers take is for them to say
    limit = scenario.cluster.config.get("max_payload", DEFAULT_MAX_PAYLOAD_BYTES)
    if not isinstance(limit, int):
        return  # with a unit, or wrong: for the server to read
    for index, workload in enumerate(scenario.workloads):
        payload = getattr(workload, "message_bytes", getattr(workload, "payload", 0))
        if payload > limit:
            message = (
                f"the servers take at most {format_size(limit)}; "
                "set cluster.config.max_payload, in bytes, to allow more"
            )
            yield Problem(("workloads", index, "payload"), message)
