"""CA certificates: there, readable by the image's user, and where the server looks for them."""

from __future__ import annotations

from collections.abc import Iterator

from harness.inspection.checks.user import configured_user
from harness.inspection.facts import Facts
from harness.inspection.filesystem import File, FileType
from harness.inspection.model import Finding, failed, passed

NAME = "ca_certificates"
# Go, crypto/x509, root_linux.go: the first of the files that can be read, and all folders.
FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
FOLDERS = ("/etc/ssl/certs", "/etc/pki/tls/certs")


def check(facts: Facts) -> Finding:
    """Fail without at least one authority's certificate that has not expired."""
    variables = facts.image.environment
    files = (variables["SSL_CERT_FILE"],) if variables.get("SSL_CERT_FILE") else FILES
    folders = (
        tuple(variables["SSL_CERT_DIR"].split(":")) if variables.get("SSL_CERT_DIR") else FOLDERS
    )
    evidence, valid = [], 0
    for file in _looked_into(facts, files, folders):
        known = file.certificates
        if known is None:
            evidence.append(f"{file.path}: no certificates")
            continue
        valid += known.authorities - known.expired
        counts = f"{known.authorities} authorities, {known.expired} of them expired"
        others = f", {known.others} other or damaged blocks" if known.others else ""
        evidence.append(f"{file.path}: {counts}{others}")
    shown = evidence[:4] or [f"nothing readable at {', '.join((*files, *folders))}"]
    if len(evidence) > len(shown):
        shown.append(f"and {len(evidence) - len(shown)} more files")
    if valid:
        return passed(NAME, f"{valid} certificates of authorities", *shown)
    return failed(NAME, "no certificate of an authority that the server would find", *shown)


def _looked_into(facts: Facts, files: tuple[str, ...], folders: tuple[str, ...]) -> Iterator[File]:
    """Yield what the server would read, each file once."""
    seen: set[str] = set()
    for file in (*_first(facts, files), *_inside(facts, folders)):
        if file.path not in seen:
            seen.add(file.path)
            yield file


def _first(facts: Facts, paths: tuple[str, ...]) -> Iterator[File]:
    """Yield the first file that can be read: the server looks no further, even if it is empty."""
    for path in paths:
        file = facts.files.resolve(path)
        if file is not None and file.type is FileType.file and _readable(facts, file):
            yield file
            return


def _inside(facts: Facts, folders: tuple[str, ...]) -> Iterator[File]:
    """Yield the files with certificates right in the folders."""
    places = {found.path for one in folders if (found := facts.files.resolve(one)) is not None}
    for one in facts.files:
        if one.path.rpartition("/")[0] not in places:
            continue
        file = facts.files.resolve(one.path)
        if file is not None and file.certificates is not None and _readable(facts, file):
            yield file


def _readable(facts: Facts, file: File) -> bool:
    user = configured_user(facts)
    group = facts.image.user.partition(":")[2]
    groups = frozenset({int(group)} if group.isdecimal() else ())
    return facts.files.readable(file.path, -1 if user is None else user, groups)
