"""`nix-channel` and `nivalis channel` beside CppNix's nix-channel, on one store: what one makes, the other goes on with."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fetch_server import Server, serve
from nivalis.build.errors import SandboxError
from nivalis.build.sandbox import check_available
from nivalis.cache import push
from nivalis.cli.nix_channel import nix_channel
from nivalis.errors import NivalisError
from nivalis.profile.channels import add_channel, infer_name, read_channels
from nivalis.store import Store, StoreLayout
from oracle import cppnix28

Program = Callable[..., str]


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


def _archive(text: str, *, kind: str = "xz", names: tuple[str, ...] = ("default.nix",)) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{kind}") as archive:  # type: ignore[call-overload]
        for name in names:
            member = tarfile.TarInfo(f"nixexprs/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def _publish(server: Server, place: str, text: str) -> None:
    server.files[place] = b"<html>a page</html>"
    server.files[f"{place}/nixexprs.tar.xz"] = _archive(text)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A store in a place of its own, for both programs the same."""
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    made = {
        "HOME": str(tmp_path / "home"),
        "NIX_STORE_DIR": str(tmp_path / "store"),
        "NIX_STATE_DIR": str(tmp_path / "var"),
        "NIX_LOG_DIR": str(tmp_path / "log"),
        "NIX_REMOTE": "",
    }
    (tmp_path / "home").mkdir()
    for name in ("NIX_PATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, text in {**made, "NIX_CONF_DIR": str(tmp_path / "etc")}.items():
        monkeypatch.setenv(name, text)
    return made


@pytest.fixture
def ours(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Program:
    def run(*words: str) -> str:
        assert nix_channel(words) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def theirs(environment: dict[str, str], tmp_path: Path) -> Program:
    oracle, reason = cppnix28()
    if oracle is None:
        pytest.skip(reason)

    def run(*words: str, program: str = "nix-channel") -> str:
        # It keeps what it downloads for an hour, an update or not.
        answer = oracle.run(program, [*words, "--option", "tarball-ttl", "0"] if "--update" in words else words, store=tmp_path, env=environment)
        assert answer.status == 0, answer.stderr
        return answer.stdout

    return run


def _profile(environment: dict[str, str]) -> Path:
    import pwd

    return Path(environment["NIX_STATE_DIR"], "profiles/per-user", pwd.getpwuid(os.geteuid()).pw_name, "channels")


def _links(environment: dict[str, str]) -> dict[str, str]:
    """The profile's links and the one at home."""
    folder = _profile(environment).parent
    home = Path(environment["HOME"], ".nix-defexpr")
    found = {name: os.readlink(folder / name) for name in sorted(os.listdir(folder)) if (folder / name).is_symlink()}
    return {**found, **{f"~/{name}": os.readlink(home / name) for name in sorted(os.listdir(home))}}


def test_both_make_the_same(environment: dict[str, str], ours: Program, theirs: Program, server: Server, tmp_path: Path) -> None:
    _publish(server, "/nixos-20.03", "{ }: 1")
    _publish(server, "/far", "{ }: 2")
    server.redirects["/near-unstable"] = "/far"
    local = tmp_path / "local-2.0.tar.gz"
    local.write_bytes(_archive("{ }: 3", kind="gz"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/nixexprs.tar.bz2").write_bytes(_archive("{ }: 4", kind="bz2"))
    added = [
        (f"{server.address}/nixos-20.03", "nixos"),
        (f"{server.address}/near-unstable",),
        (f"file://{local}", "local"),
        (f"file://{tmp_path}/folder/",),
    ]
    for words in added:
        theirs("--add", *words)
    list_of_theirs = Path(environment["HOME"], ".nix-channels").read_text()
    Path(environment["HOME"], ".nix-channels").unlink()
    for words in added:
        ours("--add", *words)
    assert Path(environment["HOME"], ".nix-channels").read_text() == list_of_theirs
    assert ours("--list") == theirs("--list")

    ours("--update")
    made = _links(environment)
    assert list(made) == ["channels", "channels-1-link", "~/channels"]
    # Had the second made anything else, there would be a second generation.
    theirs("--update")
    assert _links(environment) == made
    assert (_profile(environment) / "near/default.nix").read_text() == "{ }: 2"

    _publish(server, "/nixos-20.03", "{ }: 10")
    _publish(server, "/far", "{ }: 20")
    theirs("--update", "nixos")
    made = _links(environment)
    assert made["channels"] == "channels-2-link"
    ours("--update", "nixos")
    assert _links(environment) == made
    assert [(_profile(environment) / name / "default.nix").read_text() for name in ("nixos", "near")] == ["{ }: 10", "{ }: 2"]
    ours("--update")
    assert (_profile(environment) / "near/default.nix").read_text() == "{ }: 20"

    theirs("--rollback")
    assert os.readlink(_profile(environment)) == "channels-2-link"
    ours("--rollback")
    assert os.readlink(_profile(environment)) == "channels-1-link"
    ours("--rollback", "3")
    assert ours("--list-generations") == theirs("-p", str(_profile(environment)), "--list-generations", program="nix-env")

    theirs("--remove", "near")
    removed = os.readlink(_profile(environment))
    ours("--rollback")
    ours("--add", f"{server.address}/near-unstable")
    ours("--remove", "near")
    assert os.path.realpath(_profile(environment)) == os.path.realpath(_profile(environment).with_name(removed))
    assert "near" not in ours("--list")
    assert theirs("--verify", "--check-contents", program="nix-store") == ""


def _instantiate(*words: str) -> subprocess.CompletedProcess[str]:
    code = "from nivalis.cli.start import nix_instantiate; nix_instantiate()"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


def test_search_path(environment: dict[str, str], ours: Program, theirs: Program, server: Server) -> None:
    _publish(server, "/foo", '{ }: "from the channel"')
    ours("--add", f"{server.address}/foo", "foo")
    ours("--add", f"{server.address}/foo", "nixpkgs")
    ours("--update")
    answer = _instantiate("--eval", "-E", "import <foo> { }")
    assert (answer.stdout, answer.stderr) == ('"from the channel"\n', "")
    ask = ["--eval", "--strict", "--json", "-E", "builtins.nixPath"]
    oracle, _ = cppnix28()
    assert oracle is not None
    unset = ["/usr/bin/env", "-u", "NIX_PATH", *oracle.command("nix-instantiate")]
    variables = {**os.environ, "NIX_CONF_DIR": oracle.env["NIX_CONF_DIR"]}
    answered = subprocess.run([*unset, *ask], env=variables, capture_output=True, text=True, check=True).stdout
    assert json.loads(_instantiate(*ask).stdout) == json.loads(answered)


def test_a_moved_store(environment: dict[str, str], ours: Program, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_LOG_DIR"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("NIX_REMOTE", f"local?root={tmp_path}/root")
    _publish(server, "/foo", "1")
    ours("--add", f"{server.address}/foo")
    ours("--update")
    answer = _instantiate("--eval", "-E", "import <foo>")
    assert answer.stdout == "1\n", answer.stderr
    _publish(server, "/foo", "2")
    ours("--update")
    assert _instantiate("--eval", "-E", "import <foo>").stdout == "2\n"
    ours("--rollback")
    assert _instantiate("--eval", "-E", "import <foo>").stdout == "1\n"
    ours("--remove", "foo")
    assert "search-path" in _instantiate("--eval", "-E", "import <foo>").stderr


def test_an_unpacked_channel_comes_from_a_cache(
    environment: dict[str, str],
    ours: Program,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _publish(server, "/foo", "1")
    ours("--add", f"{server.address}/foo")
    ours("--update")
    unpacked = os.path.dirname(os.path.realpath(_profile(environment) / "foo/default.nix"))
    path = os.path.dirname(unpacked) if os.path.basename(unpacked) == "foo" else unpacked
    with Store.open(StoreLayout.parse("", environment)) as store:
        push(store, [path], str(tmp_path / "cache"))
    for name in ("store", "var"):
        subprocess.run(["chmod", "-R", "u+w", tmp_path / name], check=True)
        shutil.rmtree(tmp_path / name)
    monkeypatch.setenv("NIX_CONFIG", f"substituters = {tmp_path}/cache\nrequire-sigs = false\n")
    assert nix_channel(["--update"]) == 0
    assert f"copying path '{path}' from 'file://{tmp_path}/cache'..." in capsys.readouterr().err
    assert (_profile(environment) / "foo/default.nix").read_text() == "1"


def test_killed_at_any_moment(environment: dict[str, str], ours: Program, server: Server) -> None:
    _publish(server, "/foo", "0")
    ours("--add", f"{server.address}/foo")
    ours("--update")
    code = "from nivalis.cli.nix_channel import main; main()"
    text, took = "0", 0.0
    for number in range(1, 7):
        _publish(server, "/foo", str(number))
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-c", code, "--update"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        # How long an update takes here is known from one that is let be.
        if number > 1:
            time.sleep(took * number / 7)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        took = took or time.monotonic() - started
        found = (_profile(environment) / "foo/default.nix").read_text()
        assert found in (text, str(number))
        text = found
    ours("--update")
    assert (_profile(environment) / "foo/default.nix").read_text() == "6"


def test_an_update_that_fails_changes_nothing(environment: dict[str, str], ours: Program, server: Server, tmp_path: Path) -> None:
    _publish(server, "/a", "1")
    _publish(server, "/b", "1")
    for name in "ab":
        ours("--add", f"{server.address}/{name}")
    ours("--update")
    before = _links(environment)

    def fail(code: str, *words: str) -> NivalisError:
        with pytest.raises(NivalisError) as caught:
            ours("--update", *words)
        assert caught.value.code == code
        assert _links(environment) == before
        return caught.value

    _publish(server, "/a", "2")
    for damaged in (b"", b"nonsense", _archive("1")[:100], _archive("1", kind="gz")[:60]):
        server.files["/b/nixexprs.tar.xz"] = damaged
        fail("build-failed")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as archive:
        archive.addfile(tarfile.TarInfo("one"))
        archive.addfile(tarfile.TarInfo("two"))
    server.files["/b/nixexprs.tar.xz"] = stream.getvalue()
    fail("build-failed")
    del server.files["/b/nixexprs.tar.xz"]
    assert "`b`" in str(fail("not-found"))
    fail("no-such-channel", "c")
    ours("--add", "http://127.0.0.1:1/gone", "b")
    fail("download-failed", "b", "--option", "download-attempts", "1")
    ours("--update", "a")
    assert (_profile(environment) / "a/default.nix").read_text() == "2"
    assert (_profile(environment) / "b/default.nix").read_text() == "1"


def test_places_of_old(environment: dict[str, str], ours: Program, server: Server) -> None:
    home = Path(environment["HOME"])
    (home / ".nix-defexpr").symlink_to("/nowhere")
    (home / "dotfiles").write_text("# mine\n\n  # also\n  http://x/y-stable/ \n")
    (home / ".nix-channels").symlink_to("dotfiles")
    assert ours("--list") == "y-stable http://x/y-stable\n"
    ours("--remove", "y-stable")
    assert (home / ".nix-channels").is_symlink() and (home / "dotfiles").read_text() == ""
    ours("--update")
    assert os.listdir(_profile(environment)) == ["manifest.nix"]
    assert os.readlink(home / ".nix-defexpr/channels") == str(_profile(environment))


def test_the_list(tmp_path: Path) -> None:
    file = tmp_path / "list"
    assert read_channels(file) == []
    assert [infer_name(f"https://h/{name}") for name in ("nixos-20.03", "nixpkgs-unstable", "x-stable/", "a-unstable-stable")] == [
        "nixos-20.03",
        "nixpkgs",
        "x",
        "a-unstable",
    ]
    assert add_channel(file, "https://h/nixos-20.03").package_name == "nixos-20.03-20.03"
    for address, name in (
        ("ftp://h/x", "x"),
        ("channel:x", "x"),
        ("/x", "x"),
        ("https://h/ x", "x"),
        ("https://h/x", "-x"),
        ("https://h/x", "a/b"),
        ("https://h", ""),
    ):
        with pytest.raises(NivalisError) as caught:
            add_channel(file, address, name)
        assert caught.value.code == "channel"
    assert file.read_text() == "https://h/nixos-20.03 nixos-20.03\n"
    file.write_text("https://h/x\nhttps://h/y /\n")
    with pytest.raises(NivalisError, match="list:2"):
        read_channels(file)


@pytest.mark.parametrize(
    "words", ["", "--add", "--add a b c", "--remove", "--list x", "--rollback a", "--rollback 1 2", "--nonsense", "--list-generations x"]
)
def test_usage(words: str, environment: dict[str, str], ours: Program) -> None:
    with pytest.raises(NivalisError) as caught:
        ours(*words.split())
    assert caught.value.code == "usage"


def test_nothing_to_go_back_to(environment: dict[str, str], ours: Program) -> None:
    assert ours("--list-generations") == ""
    for words in (["--rollback"], ["--rollback", "3"], ["--remove", "x"]):
        with pytest.raises(NivalisError) as caught:
            ours(*words)
        assert caught.value.code in ("generation", "no-such-channel")


def test_the_modern_face(environment: dict[str, str], server: Server) -> None:
    _publish(server, "/foo", "1")

    def nivalis(*words: str) -> str:
        code = "from nivalis.cli import main; main()"
        answer = subprocess.run([sys.executable, "-c", code, "channel", *words], capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    nivalis("add", f"{server.address}/foo")
    assert json.loads(nivalis("list", "--json")) == [{"name": "foo", "address": f"{server.address}/foo", "path": None}]
    (updated,) = json.loads(nivalis("update", "--json"))
    assert updated["path"].endswith("-foo") and updated["path"] in nivalis("list")
    _publish(server, "/foo", "2")
    nivalis("update", "foo")
    nivalis("rollback")
    assert updated["path"] in nivalis("list")
    nivalis("remove", "foo")
    assert nivalis("list") == ""
