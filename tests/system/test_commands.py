"""The commands about systems where none runs: plans of what is not built, generations as they are listed, options, and errors.

What is evaluated is an expression with a system's attributes; real configurations are switched to in `test_rebuild`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from nivalis.cli import systems
from nivalis.cli.group import nivalis_group
from nivalis.cli.nix_collect_garbage import nix_collect_garbage
from nivalis.cli.nix_env import nix_env
from nivalis.cli.nixos_option import nixos_option
from nivalis.cli.nixos_rebuild import nixos_rebuild
from nivalis.errors import NivalisError
from nivalis.profile.generations import Generation
from nivalis.store import Store, StoreLayout
from nivalis.system.machine import Machine, take_from_menu
from system_data import make_data, make_toplevel

CHANNEL = Path(__file__).resolve().parents[2] / "channel"
SYSTEM = make_data(
    packages={"curl": {"version": "7.88", "path": "/nix/store/x-curl"}},
    units={"web.service": {"wantedBy": ["multi-user.target"]}},
    users={"users": {"web": {"group": "web"}}, "groups": {"web": {}}},
    etc={f"file{number}": {"source": "/x"} for number in range(20)},
    kernel={"version": "6.1"},
    boot={"loader": {"kind": "grub"}},
)
# `options` as the channel's modules make them; `config.system.build` as far as the commands ask.
EXPRESSION = f"""
{{ data ? builtins.fromJSON (builtins.readFile ./data.json) }}:
let
  lib = import {CHANNEL}/lib;
  made = lib.evalModules {{ modules = [ {{
    options.services.web.enable = lib.mkEnableOption "the web server";
    options.services.web.port = lib.mkOption {{ type = lib.types.port; default = 80; description = "Where it listens."; }};
    options.users.names = lib.mkOption {{ type = lib.types.listOf lib.types.str; default = throw "none"; description = "Who."; }};
  }} ./more.nix ]; }};
in {{
  inherit (made) options;
  pkgs = {{ inherit lib; }};
  config = made.config // {{ system.build = {{
    inherit data;
    toplevel = derivation {{ name = "nixos-system-test"; system = "x86_64-linux"; builder = "/bin/sh"; deb = derivation {{
      name = "curl.deb"; system = "builtin"; builder = "builtin:debian-fetch"; path = "pool/main/c/curl/curl_7.88_amd64.deb";
      outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = "{"0" * 64}"; }}; }};
  }}; }};
}}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the expression; the store is below it."""
    (tmp_path / "data.json").write_text(json.dumps(SYSTEM))
    (tmp_path / "more.nix").write_text("{ services.web.enable = true; }\n")
    (tmp_path / "system.nix").write_text(EXPRESSION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIX_REMOTE", f"local?root={tmp_path}/root")
    monkeypatch.setenv("NIX_PATH", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("NIXOS_CONFIG", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def _run(*words: str) -> str:
    answer = CliRunner().invoke(nivalis_group, words, catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


@pytest.mark.skipif(os.path.exists("/run/current-system"), reason="this machine has a system, and the plan is from that")
def test_plan(place: Path) -> None:
    found = json.loads(_run("plan", "-f", "system.nix", "--json"))
    assert found["old"] is None and found["new"].endswith("-nixos-system-test")
    assert found["start"] == [{"name": "web.service", "why": "is new"}]
    assert found["packages"] == [{"name": "curl", "old": None, "new": "7.88", "size_old": None, "size_new": None}]
    assert found["effort"]["builds"] == 1 and found["effort"]["fetches"] == 1
    # No snapshot says how large the file is.
    assert found["effort"]["needed"] is None and found["effort"]["store_free"] > 0
    assert len(found["menu"]) == 1 and "Configuration 1 (" in found["menu"][0] and "Linux 6.1)" in found["menu"][0]
    text = _run("plan", "-f", "system.nix")
    assert "add    package  curl         7.88\n" in text and "start  unit     web.service  is new\n" in text
    assert "and 8 more" in text and "and 8 more" not in _run("plan", "-f", "system.nix", "--all")
    assert "no system runs here, so everything is new\nto build: 1 derivation; to fetch: 1 file" in text


def test_what_is_evaluated_is_evaluated_once(place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "noisy.nix").write_text(f'builtins.trace "looked at" (import {place}/system.nix {{ }})')
    first = _run("plan", "-f", "noisy.nix", "--json")
    # A plan knows what a rebuild asks, and the answer says what was said.
    with monkeypatch.context() as blocked:
        blocked.setattr(systems, "open_evaluator", lambda *words, **options: pytest.fail("evaluated again"))
        assert json.loads(_run("plan", "-f", "noisy.nix", "--json"))["new"] == json.loads(first)["new"]
        assert nixos_rebuild(["dry-build", "-f", "noisy.nix"]) == 0
        with pytest.raises(pytest.fail.Exception):
            nixos_rebuild(["dry-build", "-f", "noisy.nix", "--option", "eval-cache", "false"])
    assert capfd.readouterr().err.count("trace: looked at") == 1
    # A file that was read is another, and so is the plan.
    (place / "data.json").write_text(json.dumps(SYSTEM | {"units": {}}))
    changed = json.loads(_run("plan", "-f", "noisy.nix", "--json"))
    assert changed["start"] == [] and json.loads(first)["start"] != []


@pytest.mark.parametrize(
    ("data", "code"),
    [("{ format = 2; }", "system-data"), ('throw "no"', "thrown"), ("{ }", "system-data")],
)
def test_plan_of_what_is_no_system(place: Path, data: str, code: str) -> None:
    answer = CliRunner().invoke(nivalis_group, ["plan", "-f", "system.nix", "--arg", "data", data])
    assert answer.exit_code == 1 and f"error[{code}]" in answer.output


def test_plan_with_another_collection(place: Path) -> None:
    (place / "other.nix").write_text('{ config.system.build.toplevel = derivation { name = "x"; system = "x"; builder = "x"; }; }')
    answer = CliRunner().invoke(nivalis_group, ["plan", "-f", "other.nix"])
    assert answer.exit_code == 1 and "error[no-system]" in answer.output


def test_a_configuration_that_is_not_there_is_not_replaced_by_another(place: Path) -> None:
    with pytest.raises(NivalisError) as caught:
        nixos_rebuild(["dry-build", "-I", "nixos-config=/nowhere.nix", "-f", "system.nix"])
    assert caught.value.code == "no-configuration"


@pytest.mark.parametrize("words", [[], ["frob"], ["switch", "boot"], ["switch", "-p", "a/b"], ["switch", "--frob"]])
def test_usage(place: Path, words: list[str]) -> None:
    with pytest.raises(NivalisError) as caught:
        nixos_rebuild(words)
    assert caught.value.code == "usage"


def test_dry_build(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert nixos_rebuild(["dry-build", "-f", "system.nix"]) == 0
    said = capfd.readouterr()
    assert said.out == "" and "these 2 derivations will be built:" in said.err


@pytest.mark.skipif(os.path.exists("/etc/NIXOS"), reason="this machine runs NixOS")
@pytest.mark.parametrize("code", ["moved-store", "not-nixos"])
def test_a_machine_that_runs_something_else_stays_what_it_is(place: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    if code == "not-nixos":
        for name, folder in {"NIX_STORE_DIR": "store", "NIX_STATE_DIR": "var", "NIX_LOG_DIR": "log", "NIX_REMOTE": ""}.items():
            monkeypatch.setenv(name, str(place / folder) if folder else "")
    layout = StoreLayout.parse(os.environ["NIX_REMOTE"], os.environ)
    with Store.open(layout) as store:
        path = store.add_path(make_toplevel(place / "toplevel", make_data(system=f"{os.uname().machine}-linux")), "nixos-system")
        for action in ("switch", "boot", "test"):
            with pytest.raises(NivalisError) as caught:
                Machine(layout).switch(store, path, action)
            assert caught.value.code == code
    assert not Machine(layout).profile.generations()


def test_generations(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    layout = StoreLayout.parse(os.environ["NIX_REMOTE"], os.environ)
    machine = Machine(layout)
    with Store.open(layout) as store:
        for number in (1, 2):
            data = make_data(label=f"12.{number}", kernel={"version": f"6.{number}"})
            path = store.add_path(make_toplevel(place / str(number), data), "nixos-system")
            machine.profile.switch_to_path(store, path)
        assert machine.previous() != path
    assert nixos_rebuild(["list-generations", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)
    assert [(row["generation"], row["nixosVersion"], row["kernelVersion"], row["current"]) for row in rows] == [
        (2, "12.2", "6.2", True),
        (1, "12.1", "6.1", False),
    ]
    assert nixos_rebuild(["--list-generations"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["Generation", "Build-date", "NixOS", "version", "Kernel", "Current"] and lines[1].split()[-3:] == [
        "12.2",
        "6.2",
        "True",
    ]


def test_rollback_with_nothing_before(place: Path) -> None:
    with pytest.raises(NivalisError) as caught:
        Machine(StoreLayout.parse(os.environ["NIX_REMOTE"], os.environ)).previous()
    assert caught.value.code == "generation"


def test_other_profiles_have_no_menu(place: Path) -> None:
    layout = StoreLayout.parse(os.environ["NIX_REMOTE"], os.environ)
    take_from_menu(layout, layout.profiles_dir / "default", [Generation(1, layout.profiles_dir / "default-1-link", 0)])


# ---------------------------------------------------------------------------------------------------- options


def test_options_are_found_by_words(place: Path) -> None:
    found = json.loads(_run("options", "-f", "system.nix", "--json", "web"))
    assert [(one["name"], one["default"], one["type"]) for one in found] == [
        ("services.web.enable", "false", "boolean"),
        ("services.web.port", "80", "16 bit unsigned integer; between 0 and 65535 (both inclusive)"),
    ]
    assert "services.web.port\n  type: 16 bit" in _run("options", "-f", "system.nix", "listens", "WHERE")
    # A default that fails is none.
    assert json.loads(_run("options", "-f", "system.nix", "--json", "users.names"))[0]["default"] is None
    assert CliRunner().invoke(nivalis_group, ["options", "-f", "system.nix", "nothing-of-the-kind"]).exit_code == 1
    assert json.loads(_run("options", "-I", f"here={place}", "-f", "<here/system.nix>", "--json", "web")) == found


def test_nixos_option(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert nixos_option(["-f", "system.nix", "services.web.enable"]) == 0
    said = capfd.readouterr().out
    assert said.startswith("Value:\n  true\n\nDefault:\n  false\n\nType:\n  boolean\n") and said.endswith(f"Defined by:\n  {place}/more.nix\n")
    assert nixos_option(["-f", "system.nix", "services"]) == 0
    assert capfd.readouterr().out == "This attribute set contains:\nweb\n"
    with pytest.raises(NivalisError) as caught:
        nixos_option(["-f", "system.nix", "services.wep"])
    assert (caught.value.code, caught.value.hint) == ("no-option", "did you mean `web`?")


# ---------------------------------------------------------------------------------------------------- generations that go


@pytest.mark.parametrize("words", [["nix-collect-garbage", "-d"], ["nix-env", "-p", "PROFILE", "--delete-generations", "1", "2"]])
@pytest.mark.parametrize("works", [True, False])
def test_a_generation_leaves_the_menu_before_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], works: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NIX_REMOTE", raising=False)
    for name, folder in {"NIX_STORE_DIR": "store", "NIX_STATE_DIR": "var", "NIX_LOG_DIR": "log", "HOME": "home"}.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    layout = StoreLayout.parse("", os.environ)
    profile = Machine(layout).profile
    # What the real program is asked, and that the links are there when it is.
    script = f"#!/bin/sh\necho $@ > {tmp_path}/asked\nls {profile.path}-[12]-link || exit 9\n{'' if works else 'exit 1'}\n"
    with Store.open(layout) as store:
        for number in (1, 2, 3):
            toplevel = make_toplevel(tmp_path / str(number), make_data(label=str(number)))
            (toplevel / "bin").mkdir()
            (toplevel / "bin/switch-to-configuration").write_text(script)
            (toplevel / "bin/switch-to-configuration").chmod(0o755)
            profile.switch_to_path(store, store.add_path(toplevel, f"nixos-system-{number}"))
    command, *rest = (str(profile.path) if word == "PROFILE" else word for word in words)
    run = nix_collect_garbage if command == "nix-collect-garbage" else nix_env
    if works:
        run(rest)
    else:
        with pytest.raises(NivalisError) as caught:
            run(rest)
        assert caught.value.code == "boot-menu"
    assert (tmp_path / "asked").read_text() == f"menu {profile.path}-1-link {profile.path}-2-link\n"
    assert [one.number for one in profile.generations()] == ([3] if works else [1, 2, 3])
