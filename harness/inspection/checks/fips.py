"""FIPS mode: where the image claims it, the server really refuses what FIPS forbids."""

from __future__ import annotations

from harness.inspection.claims import fips_claims
from harness.inspection.facts import Facts
from harness.inspection.model import Finding, failed, passed, unknown

NAME = "fips"


def check(facts: Facts) -> Finding:
    """Fail when FIPS mode is claimed and streams can be encrypted by ChaCha20 all the same.

    A refusal counts only beside a server that starts with AES: else it refused something
    else. Without a claim there is nothing to hold it to.
    """
    claims = fips_claims(facts.image)
    if not claims:
        setting = facts.image.environment.get("GODEBUG", "(not set)")
        tag = facts.image.tag or "(none)"
        return passed(NAME, "not claimed", f"config: GODEBUG {setting}", f"tag: {tag}")
    evidence = list(claims)
    for one in facts.ciphers:
        how = "started" if one.started else "refused"
        evidence.append(f"cipher {one.cipher}: {how}; {one.said[-1] if one.said else 'no log'}")
    started = {one.cipher: one.started for one in facts.ciphers}
    if started.get("chacha"):
        return failed(NAME, "claimed, but the server takes cipher: chacha", *evidence)
    if started.get("aes") is False:
        return unknown(NAME, "the server refuses AES too, so its refusal tells nothing", *evidence)
    if started == {"chacha": False, "aes": True} and not _refused_for_it(facts):
        return unknown(NAME, "the server refuses cipher: chacha without saying why", *evidence)
    if started == {"chacha": False, "aes": True}:
        return passed(NAME, "claimed, and the server refuses cipher: chacha", *evidence)
    return unknown(NAME, "claimed, and not tried", *evidence)


def _refused_for_it(facts: Facts) -> bool:
    said = " ".join(line for one in facts.ciphers if not one.started for line in one.said).lower()
    return "chacha" in said or "fips" in said
