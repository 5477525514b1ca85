"""Configuration: what files, variables and command lines make of the options, beside both CppNix."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

import oracle
from nivalis.errors import NivalisError
from nivalis.settings import ConfigurationError, SettingError, Settings, read_settings
from nivalis.settings.files import configuration_files
from nivalis.settings.table import OPTIONS, all_names, find_option

ORACLES = {"2.8": oracle.cppnix28, "2.26": oracle.cppnix226}


@pytest.fixture(params=ORACLES, scope="session")
def cppnix(request: pytest.FixtureRequest) -> oracle.Oracle:
    found, reason = ORACLES[request.param]()
    if found is None:
        pytest.skip(reason)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the machine's configuration in `etc` and a home."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "home").mkdir()
    return tmp_path


def variables(place: Path, **more: str) -> dict[str, str]:
    return {"NIX_CONF_DIR": str(place / "etc"), "HOME": str(place / "home"), "XDG_CONFIG_DIRS": str(place / "xdg"), **more}


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def ask_cppnix(cppnix: oracle.Oracle, environment: Mapping[str, str], arguments: list[str]) -> dict[str, object]:
    """What CppNix makes of the options, by name."""
    words = ["show-config"] if cppnix.version == "2.8" else ["config", "show"]
    command = [*words, "--json", "--extra-experimental-features", "nix-command", *arguments]
    answer = cppnix.run("nix", command, env=environment)
    assert answer.status == 0, answer.stderr
    return {name: row["value"] for name, row in json.loads(answer.stdout).items()}


# ---------------------------------------------------------------------------------------------------- beside CppNix

MACHINE = """
# a comment
max-jobs = 3   # and another
build-cores = 7
substituters = https://one.example/   https://two.example/
extra-substituters = https://three.example/
trusted-public-keys = a:b c:d
sandbox = false
min-free = 2048
access-tokens = github.com=x  gitlab.com=y  rubbish
include more.conf
!include missing.conf
keep-outputs = yes
connect-timeout = 4
"""
MORE = """
extra-trusted-public-keys = e:f
system-features = b a
extra-access-tokens = github.com=z codeberg.org=q
binary-caches-parallel-connections = 9
"""
USER = """
extra-system-features = c a
keep-outputs = false
fallback = true
extra-binary-caches = https://four.example/
user-agent-suffix =
log-lines = 12
"""
XDG = """
fallback = false
timeout = 60
log-lines = 11
"""
VARIABLE = """
timeout = 61
extra-secret-key-files = /a
gc-keep-derivations = 0
"""
FLAGS = [
    "--option",
    "cores",
    "2",
    "--max-jobs",
    "5",
    "--extra-secret-key-files",
    "/b",
    "--option",
    "extra-trusted-public-keys",
    "g:h",
    "--no-fallback",
]
WATCHED = (
    *("max-jobs", "cores", "substituters", "trusted-public-keys", "sandbox", "min-free", "access-tokens", "keep-outputs", "connect-timeout"),
    *("system-features", "http-connections", "fallback", "user-agent-suffix", "timeout", "secret-key-files", "keep-derivations", "log-lines"),
)


def test_merging_is_cppnixs(cppnix: oracle.Oracle, place: Path) -> None:
    # 2.8 knows no units yet.
    write(place / "etc/nix.conf", MACHINE if cppnix.version == "2.8" else MACHINE.replace("2048", "2k"))
    write(place / "etc/more.conf", MORE)
    write(place / "home/.config/nix/nix.conf", USER)
    write(place / "xdg/nix/nix.conf", XDG)
    environment = variables(place, NIX_CONFIG=VARIABLE)
    theirs = ask_cppnix(cppnix, environment, FLAGS)
    ours = read_settings(environment)
    for name, text in [
        *(("cores", "2"), ("max-jobs", "5"), ("extra-secret-key-files", "/b"), ("extra-trusted-public-keys", "g:h"), ("fallback", "false")),
    ]:
        ours.set(name, text, "the command line")
    assert {name: comparable(ours.value(name)) for name in WATCHED} == {name: comparable(theirs[name]) for name in WATCHED}


@pytest.mark.parametrize("named", ["{place}/one:{place}/two", "{place}/two:{place}/one", ""])
def test_the_first_of_the_named_user_files_wins(cppnix: oracle.Oracle, place: Path, named: str) -> None:
    write(place / "one", "cores = 1\nextra-secret-key-files = /one\n")
    write(place / "two", "cores = 2\nextra-secret-key-files = /two\n")
    write(place / "home/.config/nix/nix.conf", "cores = 3\n")
    write(place / "etc/nix.conf", "cores = 4\n")
    environment = variables(place, NIX_USER_CONF_FILES=named.format(place=place))
    theirs, ours = ask_cppnix(cppnix, environment, []), read_settings(environment)
    assert (ours.number("cores"), list(ours.words("secret-key-files"))) == (theirs["cores"], theirs["secret-key-files"])


# What depends on the machine, or differs between CppNix's versions: the newest one's is ours.
MACHINES = {name for name, option in OPTIONS.items() if option.is_machines} | {"cores"}
CHANGED = {
    "2.8": {"log-lines", "max-free", "flake-registry", "ignored-acls", "build-hook", "diff-hook", "connect-timeout"},
    "2.26": {"build-hook", "connect-timeout", "download-buffer-size", "require-drop-supplementary-groups", "upgrade-nix-store-path-url"},
}
# What `nix show-config` itself sets, or what follows from where the configuration is.
ASKED = {"builders", "pure-eval", "experimental-features"}
# Ours on purpose: a cache that fails does not fail a build that can go on without it.
OWN = {"fallback"}


def test_defaults_are_cppnixs(cppnix: oracle.Oracle, place: Path) -> None:
    theirs, ours = ask_cppnix(cppnix, variables(place), []), Settings(variables(place))
    assert {name for name in theirs if find_option(name) is None} == set()
    # Names change: what was an option's own is an alias of it now.
    now = {found[0].name: value for name, value in theirs.items() if (found := find_option(name))}
    compared = set(now) - MACHINES - CHANGED[cppnix.version] - ASKED - OWN
    assert len(compared) > 60
    assert {name: comparable(ours.value(name)) for name in compared} == {name: comparable(now[name]) for name in compared}


def test_aliases_are_cppnixs(cppnix: oracle.Oracle, place: Path) -> None:
    command = ["show-config"] if cppnix.version == "2.8" else ["config", "show"]
    answer = cppnix.run("nix", [*command, "--json", "--extra-experimental-features", "nix-command"], env=variables(place))
    for name, row in json.loads(answer.stdout).items():
        for alias in row["aliases"]:
            found = find_option(alias)
            assert found is not None and found[0].name == name


def comparable(value: object) -> object:
    """Without the differences of form between versions: no path is empty or null."""
    return value if value is not None else ""


# ---------------------------------------------------------------------------------------------------- files


def test_places(place: Path) -> None:
    write(place / "etc/nix.conf", "\ncores = 1\nsubstituters = a\ninclude b.conf\n")
    write(place / "etc/b.conf", "extra-substituters = b\n")
    settings = read_settings(variables(place, NIX_CONFIG="\ncores = 2"))
    settings.set("extra-substituters", "c", "the command line")
    assert settings.places("cores") == ("NIX_CONFIG:2",)
    assert settings.places("substituters") == (f"{place}/etc/nix.conf:3", f"{place}/etc/b.conf:1", "the command line")
    assert settings.words("substituters") == ("a", "b", "c")
    assert settings.places("max-jobs") == () and not settings.is_set("max-jobs")
    assert settings.given() == {"cores": "2", "substituters": "a b c"}
    assert settings.is_replaced("cores")


def test_which_files(place: Path) -> None:
    home = str(place / "home")
    assert configuration_files({}) == ["/etc/nix/nix.conf", "/etc/xdg/nix/nix.conf"]
    assert configuration_files({"HOME": home, "XDG_CONFIG_DIRS": "/a:/b"}) == [
        "/etc/nix/nix.conf",
        "/b/nix/nix.conf",
        "/a/nix/nix.conf",
        f"{home}/.config/nix/nix.conf",
    ]
    assert configuration_files({"HOME": home, "XDG_CONFIG_HOME": "/c", "XDG_CONFIG_DIRS": "/a"})[-1] == "/c/nix/nix.conf"
    assert configuration_files({"NIX_USER_CONF_FILES": "", "HOME": home}) == ["/etc/nix/nix.conf"]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a\n", "invalid-configuration", 1),
        ("\ncores: 3\n", "invalid-configuration", 2),
        ("include\n", "invalid-configuration", 1),
        ("include missing.conf\n", "invalid-configuration", 1),
        ("include nix.conf\n", "invalid-configuration", 1),
        ("# cores\n\ncores = many\n", "invalid-setting", 3),
        ("cores = -1\n", "invalid-setting", 1),
        ("cores = 1P\n", "invalid-setting", 1),
        ("cores =\n", "invalid-setting", 1),
        ("fallback = maybe\n", "invalid-setting", 1),
        ("sandbox-build-dir =\n", "invalid-setting", 1),
    ],
)
def test_errors_name_file_and_line(place: Path, text: str, code: str, line: int) -> None:
    write(place / "etc/nix.conf", text)
    with pytest.raises(NivalisError) as raised:
        read_settings(variables(place))
    assert (raised.value.code, raised.value.where) == (code, f"{place}/etc/nix.conf:{line}")
    assert isinstance(raised.value, ConfigurationError | SettingError) and raised.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_missing(place: Path) -> None:
    write(place / "etc/nix.conf", "cores = 2\ninclude secret.conf\n")
    write(place / "etc/secret.conf", "cores = 3\n")
    (place / "etc/secret.conf").chmod(0)
    assert read_settings(variables(place)).number("cores") == 2


def test_unknown_names_are_kept_aside(place: Path) -> None:
    write(place / "etc/nix.conf", "no-such = 1\nextra-cores = 1\nextra-no-such = 2\nno-such = 3\n")
    settings = read_settings(variables(place))
    assert settings.unknown == {
        "no-such": f"{place}/etc/nix.conf:1",
        "extra-cores": f"{place}/etc/nix.conf:2",
        "extra-no-such": f"{place}/etc/nix.conf:3",
    }


def test_names_may_be_any_bytes(place: Path) -> None:
    (place / "etc/nix.conf").write_bytes(b"build-dir = /tmp/\xff\r\n")
    assert os.fsencode(read_settings(variables(place)).text("build-dir")) == b"/tmp/\xff"


def test_nix_path_of_files_yields_to_the_variable(place: Path) -> None:
    write(place / "etc/nix.conf", "nix-path = a=/a\n")
    assert read_settings(variables(place)).words("nix-path") == ("a=/a",)
    assert read_settings(variables(place, NIX_PATH="b=/b")).words("nix-path") == ()


# ---------------------------------------------------------------------------------------------------- values


def test_values_have_their_kinds() -> None:
    settings = Settings({"NIX_CONF_DIR": "/conf"})
    for name, text in [("min-free", "1g"), ("max-jobs", "auto"), ("sandbox", "relaxed"), ("impure-env", "a=1 b=x=y"), ("timeout", "007")]:
        assert settings.set(name, text)
    assert settings.number("min-free") == 1 << 30 and settings.text("min-free") == str(1 << 30)
    assert settings.number("max-jobs") == os.cpu_count() and settings.text("max-jobs") == "auto"
    assert settings.switch("sandbox") and settings.text("sandbox") == "relaxed"
    assert settings.pairs("impure-env") == {"a": "1", "b": "x=y"}
    assert settings.value("timeout") == 7
    assert settings.text("netrc-file") == "/conf/netrc"


def test_what_is_added_to_a_default_of_the_machine() -> None:
    settings = Settings({})
    before = settings.words("system-features")
    settings.set("extra-system-features", "own")
    assert settings.words("system-features") == tuple(sorted({*before, "own"}))
    assert settings.is_set("system-features") and not settings.is_replaced("system-features")


# ---------------------------------------------------------------------------------------------------- the table


def test_names_mean_one_thing_each() -> None:
    names = [name for name, _, _ in all_names()]
    assert len(names) == len(set(names))
    for name, option, adds in all_names():
        assert find_option(name) == (option, adds)


@pytest.mark.parametrize("name", OPTIONS)
def test_defaults_are_values(name: str) -> None:
    settings = Settings({})
    default = settings.text(name)
    assert settings.set(name, default) or not default
    assert settings.text(name) == default


def test_what_the_table_says_is_so(checkout: Path) -> None:
    folder = checkout / "src/nivalis"
    code = "\n".join(file.read_text() for file in folder.rglob("*.py") if file.parent != folder / "settings")
    read = {name for name in OPTIONS if f'"{name}"' in code}
    assert read == {name for name, option in OPTIONS.items() if not option.ignored}
