"""Debian's suites as channels: subscribing, updating, comparing, searching and explaining, with the commands."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from debian_archive import Archive, certificate, stanza
from fetch_server import serve
from nivalis.build.errors import SandboxError
from nivalis.build.sandbox import check_available
from nivalis.cli.group import nivalis_group
from nivalis.cli.nix_channel import nix_channel
from nivalis.errors import NivalisError
from nivalis.lang.evaluator import EvalSettings, Evaluator
from nivalis.store.layout import StoreLayout
from nivalis.store.store import Store

Run = Callable[..., str]


@pytest.fixture
def archive() -> Iterator[Archive]:
    for server in serve():
        made = Archive(server)
        made.packages = {
            "": [
                stanza("curl", "7.88-1", depends="libc6, mail-agent | never"),
                stanza("libc6", "2.36-9"),
                stanza("exim", "4", provides="mail-agent"),
                stanza("postfix", "3", provides="mail-agent", priority="standard"),
                stanza("libcurl4", "7.88-1", depends="libc6"),
            ]
        }
        made.publish()
        yield made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    expressions = tmp_path / "channel"
    (expressions / "lib").mkdir(parents=True)
    (expressions / "default.nix").write_text("builtins.attrNames (builtins.fromJSON (builtins.readFile ./snapshot/names.json))\n")
    (expressions / "lib/default.nix").write_text("{ }\n")
    # What ships is another test's; here it only has to arrive.
    monkeypatch.setattr("nivalis.profile.channels._own_expressions", lambda: str(expressions))
    monkeypatch.setattr("nivalis.debian.archive.debian_keys", lambda: [certificate()])
    (tmp_path / "home").mkdir()
    for name in ("NIX_PATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NIX_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in {"HOME": "home", "NIX_STORE_DIR": "store", "NIX_STATE_DIR": "var", "NIX_LOG_DIR": "log"}.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Run:
    def run(*words: str, status: int = 0) -> str:
        answer = CliRunner().invoke(nivalis_group, words)
        assert answer.exit_code == status, answer.output
        return answer.stdout if not status else answer.output

    return run


def _installed(run: Run, name: str = "nixpkgs") -> str:
    path: str = next(row["path"] for row in json.loads(run("channel", "list", "--json")) if row["name"] == name)
    return path


def test_subscribe_update_and_use(run: Run, archive: Archive, home: Path) -> None:
    run("channel", "add", "nixpkgs", "debian:testix", "--mirror", archive.mirror)
    assert (home / ".nix-channels").read_text() == "debian:testix nixpkgs\n"
    assert json.loads((home / ".config/nivalis/debian.json").read_text())["channels"] == {"nixpkgs": [archive.mirror]}
    run("channel", "update")
    path = _installed(run)
    assert os.path.basename(path)[33:].startswith("nixpkgs-20")
    with Store.open(StoreLayout.parse("", dict(os.environ))) as store, Evaluator(store, EvalSettings(system="x86_64-linux")) as evaluator:
        assert evaluator.eval(f"import {path}/nixpkgs").to_python() == ["curl", "exim", "libc6", "libcurl4", "postfix"]
        snapshot = os.path.realpath(f"{path}/nixpkgs/snapshot")
        assert snapshot in store.path_info(path).references, "a collector sees that the channel needs it"
    run("channel", "update")
    assert _installed(run) == path
    run("channel", "remove", "nixpkgs")
    assert json.loads((home / ".config/nivalis/debian.json").read_text())["channels"] == {}


def test_in_a_store_under_another_root(archive: Archive, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_LOG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NIX_REMOTE", f"local?root={tmp_path}/other")
    assert nix_channel(["--add", "debian:testix", "nixpkgs", "--mirror", archive.mirror]) == 0
    assert nix_channel(["--update"]) == 0
    channel = os.readlink(f"{os.path.realpath(home / '.nix-defexpr/channels')}/nixpkgs")
    assert channel.startswith("/nix/store/")
    with Store.open(StoreLayout.parse(os.environ["NIX_REMOTE"], {})) as store, Evaluator(store, EvalSettings(system="x86_64-linux")) as evaluator:
        assert "curl" in evaluator.eval(f"import {channel}").to_python()
        # By way of the links at home, too, which say where the store would be.
        seen = f"{home}/.nix-defexpr/channels/nixpkgs"
        assert evaluator.eval(f"builtins.pathExists {seen}/lib/default.nix && ! builtins.pathExists {seen}/lib/nope").to_python() is True
        assert "lib" in evaluator.eval(f"builtins.readDir {seen}").to_python()


def test_nix_channel_does_it_too(run: Run, archive: Archive, home: Path) -> None:
    assert nix_channel(["--add", "debian:testix?component=main", "nixpkgs", "--mirror", archive.mirror]) == 0
    assert nix_channel(["--update"]) == 0
    assert (home / ".nix-defexpr/channels/nixpkgs/snapshot/names.json").is_file()


def test_parts_are_in_the_address(run: Run, home: Path) -> None:
    run("channel", "add", "debian:testix", "--component", "main", "--component", "contrib", "--arch", "arm64")
    assert (home / ".nix-channels").read_text() == "debian:testix?component=main,contrib&arch=arm64 testix\n"
    assert "error" in run("channel", "add", "https://example.org/x", "--mirror", "http://m/debian", status=1)
    assert "invalid-suite" in run("channel", "add", "debian:testix-updates", status=1)


def test_what_is_refused_leaves_the_channel_as_it_was(run: Run, archive: Archive) -> None:
    run("channel", "add", "nixpkgs", "debian:testix", "--mirror", archive.mirror)
    run("channel", "update")
    path = _installed(run)

    def refused(*flags: str) -> str:
        with pytest.raises(NivalisError) as caught:
            nix_channel(["--update", *flags])
        assert _installed(run) == path
        return caught.value.code

    archive.publish(change_release=lambda data: data.replace(b"Codename: t", b"Codename: T"))
    assert refused() == "bad-signature"
    archive.publish(change_release=lambda data: b"<html>")
    assert refused() == "release-invalid"
    archive.packages[""].append(stanza("new"))
    archive.publish(change_index=lambda data: data[:-1] + b"x")
    assert refused() == "index-mismatch"
    archive.date -= 86400
    archive.publish()
    assert refused() == "release-downgrade" and refused("--allow-expired") == "release-downgrade"
    archive.date, archive.valid_until = archive.date + 86400, archive.date + 80000
    archive.publish()
    assert refused() == "release-expired"
    run("channel", "update", "--allow-expired")
    assert _installed(run) != path


def test_difference(run: Run, archive: Archive) -> None:
    run("channel", "add", "nixpkgs", "debian:testix", "--mirror", archive.mirror)
    run("channel", "update")
    path = _installed(run)
    assert run("channel", "diff") == ""
    archive.date += 60
    archive.packages["-security"] = [stanza("curl", "7.88-2", pool="pool/updates/main")]
    archive.publish()
    assert run("channel", "diff") == "curl: 7.88-1 -> 7.88-2  [security]\n"
    assert _installed(run) == path, "looking changes nothing"
    run("channel", "update")
    assert json.loads(run("channel", "diff", "1", "--json")) == json.loads(run("channel", "diff", "1", "2", "--json"))
    rows = json.loads(run("channel", "diff", "2", "1", "--json"))
    assert rows == [{"channel": "nixpkgs", "package": "curl", "old": "7.88-2", "new": "7.88-1", "security": False}]
    snapshots = [os.path.realpath(f"{place}/nixpkgs/snapshot") for place in (path, _installed(run))]
    assert run("channel", "diff", *snapshots) == "curl: 7.88-1 -> 7.88-2  [security]\n"
    assert "no generation 9" in run("channel", "diff", "9", status=1)


def test_search(run: Run, archive: Archive) -> None:
    assert "no-snapshot" in run("search", "curl", status=1)
    run("channel", "add", "nixpkgs", "debian:testix", "--mirror", archive.mirror)
    run("channel", "update")
    assert run("search", "CURL", "for") == "curl\t7.88-1\tcurl for tests\nlibcurl4\t7.88-1\tlibcurl4 for tests\n"
    assert [row["package"] for row in json.loads(run("search", "tests", "--json"))] == ["curl", "exim", "libc6", "libcurl4", "postfix"]
    run("search", "--names", "tests", status=1)


def test_why_depends(run: Run, archive: Archive) -> None:
    run("channel", "add", "nixpkgs", "debian:testix", "--mirror", archive.mirror)
    run("channel", "update")
    said = run("why-depends", "curl")
    assert "-> postfix: provides `mail-agent`, and is the first by priority and name" in said and "exim would do, too" in said
    (step,) = json.loads(run("why-depends", "curl", "libc6", "--json"))
    assert (step["package"], [choice["clause"] for choice in step["choices"]]) == ("curl", ["libc6"])
    run("why-depends", "libc6", "curl", status=1)
    assert "there is `curl`" in run("why-depends", "curll", status=1)
    assert "`postfix` provides it" in run("why-depends", "mail-agent", status=1)
