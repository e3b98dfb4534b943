"""The small languages inside of a Compose file, each by itself."""

from __future__ import annotations

import pytest

from harness.scenario.compose.flags import read_flags
from harness.scenario.compose.logins import UnknownLoginError, find_login
from harness.scenario.compose.quantities import to_bytes, to_seconds
from harness.scenario.compose.redaction import redact_command, redact_environment, redact_text
from harness.scenario.compose.server_config import ConfigurationError, parse_configuration
from harness.scenario.compose.substitution import Substitution, SubstitutionError, parse_variables

VALUES = {"A": "1", "E": "", "P": "p$x"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$A-${A}", "1-1"),
        ("$$A", "$A"),
        ("${N}", ""),
        ("${N:-d}${E:-d}${A:-d}", "dd1"),
        ("${N-d}${E-d}${A-d}", "d1"),
        ("${N:+s}${E:+s}${A:+s}", "s"),
        ("${N+s}${E+s}${A+s}", "ss"),
        ("${A:?m}${E?m}", "1"),
        ("${N:-${M:-x}}", "x"),
        ("${N:-a:b/c=d}", "a:b/c=d"),
        ("${P}", "p$x"),
        ("{$A}", "{1}"),
    ],
)
def test_variables_are_put_in_place_as_compose_does(text, result):
    assert Substitution(VALUES).apply(text) == result


def test_only_variables_that_count_are_unset():
    substitution = Substitution(VALUES)
    substitution.apply("$B ${C} ${D:-d} ${A:-$F} ${G:-$H}")
    assert substitution.unset == {"B", "C", "H"}


@pytest.mark.parametrize(
    "text",
    ["$", "${", "${}", "${A", "${A:-b", "${1}", "${A!b}", "$2a$11$x", "${N:?gone}", "${N?}"],
)
def test_what_is_no_variable_is_refused(text):
    with pytest.raises(SubstitutionError):
        Substitution(VALUES).apply(text)


def test_nesting_is_bounded():
    with pytest.raises(SubstitutionError, match="too deep"):
        Substitution({}).apply("${A:-" * 500 + "}" * 500)


def test_env_files_are_read_as_shells_would():
    complaints: list[tuple[int, str]] = []
    text = '# c\n\nA=1\nexport B = x y # c\nC=\'$A\'\nD="$A\\n2"\nE\nF=\nG: 3\nH="two\nlines"\n=x\n'
    found = parse_variables(text, {"A": "9"}, lambda line, why: complaints.append((line, why)))
    assert found == {
        "A": "1", "B": "x y", "C": "$A", "D": "9\n2", "E": None, "F": "", "G": "3",
        "H": "two\nlines",
    }  # fmt: skip
    assert complaints == [(12, "expected NAME=value")]


def test_configurations_are_read_as_the_server_does():
    text = """
        // a comment
        server_name=$NAME  # another
        Port: 4222, http: "0.0.0.0:8222"
        cluster { name: x; listen = 0.0.0.0:6222, routes: [ nats-route://a:b@n1:6222, "nats://n2:1"
          nats://n3:6222 ] }
        jetstream: {store_dir: "/data"}
        accounts { SYS { users [ {user: a, password: '$2a$11$x'} ] } }
    """
    assert parse_configuration(text, {"NAME": "n"}) == {
        "server_name": "n",
        "port": 4222,
        "http": "0.0.0.0:8222",
        "cluster": {
            "name": "x",
            "listen": "0.0.0.0:6222",
            "routes": ["nats-route://a:b@n1:6222", "nats://n2:1", "nats://n3:6222"],
        },
        "jetstream": {"store_dir": "/data"},
        "accounts": {"sys": {"users": [{"user": "a", "password": "$2a$11$x"}]}},
    }


@pytest.mark.parametrize(
    "text",
    ["a {", "a [", "a: $B", "include x.conf", "}", "a: ]", '"a', "a {" * 99, "port:", "a: [{]}"],
)
def test_what_is_no_configuration_is_refused_and_shows_no_value(text):
    with pytest.raises(ConfigurationError, match=r"^line [0-9]+: "):
        parse_configuration(text, {})


@pytest.mark.parametrize(
    ("settings", "user"),
    [
        ({}, None),
        ({"authorization": {"user": "u", "password": "p"}}, "u"),
        ({"authorization": {"users": [{"nkey": "N"}, {"user": "v", "pass": "p"}]}}, "v"),
        ({"accounts": {"sys": {"users": [{"user": "s", "password": "p"}]},
                       "a": {"users": [{"user": "w", "password": "p"}]}},
          "system_account": "SYS"}, "w"),
        ({"authorization": {"timeout": 2}}, None),
        ({"no_auth_user": "x", "authorization": {"token": "t"}}, None),
    ],
)  # fmt: skip
def test_a_login_is_found_where_it_is_plain(settings, user):
    login = find_login(settings)
    assert (login.user if login else None) == user


@pytest.mark.parametrize(
    "settings",
    [
        {"authorization": {"token": "t"}},
        {"authorization": {"user": "u", "password": "$2a$11$hash"}},
        {"authorization": {"users": [{"nkey": "U"}]}},
        {"operator": "x.jwt"},
    ],
)
def test_a_login_that_clients_could_not_make_is_told(settings):
    with pytest.raises(UnknownLoginError):
        find_login(settings)


def test_flags_are_read_as_go_reads_them():
    flags = read_flags(
        None, ["-js", "-p=1", "--port", "2", "-DV", "--name", "x", "rest", "-m", "3"]
    )
    assert flags is not None
    assert flags.values == {"js": "true", "p": "2", "DV": "true", "n": "x"}
    assert flags.open_ended


@pytest.mark.parametrize(
    ("entrypoint", "command", "port"),
    [
        (["/nats-server"], ["-p", "1"], "1"),
        (["/nats-server", "-p", "1"], None, "1"),
        (["/entry.sh"], ["nats-server", "-p", "1"], "1"),
        (["/entry.sh"], ["-p", "1"], "1"),
        (["/bin/sh", "-c"], ["exec nats-server -p 1"], "1"),
        (None, ["sh", "-c", "sleep 1; exec /nats-server -p 1"], "1"),
        (["/entry.sh"], None, None),
        (None, ["/entry.sh", "-p", "1"], None),
        (["sh", "-c", "./start"], None, None),
    ],
)
def test_flags_are_found_behind_entry_points(entrypoint, command, port):
    flags = read_flags(entrypoint, command)
    assert (flags.values.get("p") if flags else None) == port


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--routes=nats://u:S@a:1,nats://v:S@b:1"], ["--routes=nats://***@a:1,nats://***@b:1"]),
        (["--routes", "nats://u:p@S/S@a:1"], ["--routes", "nats://***@a:1"]),
        (["--cluster", "nats://u:p,S@0.0.0.0:1"], ["--cluster", "nats://***@0.0.0.0:1"]),
        (["nats://a:1,nats://u:S@b:1"], ["nats://a:1,nats://***@b:1"]),
        (["--user", "S", "--pass=S", "-auth", "S", "-p", "1"],
         ["--user", "***", "--pass=***", "-auth", "***", "-p", "1"]),
        (["sh", "-c", "nats-server --user S --pass 'S S' --auth=S -p 1"],
         ["sh", "-c", "nats-server --user *** --pass *** --auth=*** -p 1"]),
        (["--config", "/auth.conf", "--cluster_name", "pass"],
         ["--config", "/auth.conf", "--cluster_name", "pass"]),
    ],
)  # fmt: skip
def test_commands_are_shown_without_secrets(words, shown):
    assert redact_command(words) == tuple(shown)


def test_variables_are_shown_only_where_they_are_harmless():
    given = {"GODEBUG": "fips140=on", "TZ": "UTC", "ADMIN": "S", "URL": "nats://u:S@h", "PIN": "7"}
    shown = redact_environment(given)
    assert shown == {
        "GODEBUG": "fips140=on",
        "TZ": "UTC",
        **dict.fromkeys(("ADMIN", "URL", "PIN"), "***"),
    }
    assert redact_text("no secret") == "no secret"


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 2**29), ("1.5gb", 3 * 2**29), ("64MiB", 2**26), ("1024", 1024)]
)
def test_sizes(text, size):
    assert to_bytes(text) == size


@pytest.mark.parametrize(("text", "length"), [("10s", 10), ("1m30s", 90), ("1.5h", 5400)])
def test_durations(text, length):
    assert to_seconds(text) == length


@pytest.mark.parametrize("text", ["", "-1m", "m", "0", "1 potato", "1e9"])
def test_wrong_quantities_are_refused(text):
    with pytest.raises(ValueError, match="expected a size"):
        to_bytes(text)
    with pytest.raises(ValueError, match="expected a duration"):
        to_seconds(text)
