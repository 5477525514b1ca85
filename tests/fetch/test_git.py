"""Git repositories behind addresses: over http by Git's own server, over git: by its daemon; beside CppNix."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nivalis.errors import NivalisError
from nivalis.fetch import Network, StoreFetcher
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store
from oracle import Oracle, cppnix226

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="the program git is not installed")


def _git(folder: Path, *words: str) -> str:
    who = {f"GIT_{kind}_{what}": "x" for kind in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": "1000000000 +0000", "GIT_COMMITTER_DATE": "1000000000 +0000"}
    env = {**os.environ, **who, **dates, "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    argv = ["git", "-c", "protocol.file.allow=always", *words]
    return subprocess.run(argv, cwd=folder, env=env, check=True, capture_output=True, text=True).stdout.strip()


def _commit(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "--message=x")
    return _git(folder, "rev-parse", "HEAD")


def _init(folder: Path) -> Path:
    folder.mkdir(parents=True)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


class _GitServer(ThreadingHTTPServer):
    """Serves the repositories in a folder by `git http-backend`; `asked` are the paths, `password` is what it wants."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _GitHandler)
        self.folder = folder
        self.asked: list[str] = []
        self.is_closed_to_strangers = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _GitHandler(BaseHTTPRequestHandler):
    server: _GitServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.is_closed_to_strangers:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        variables = {
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HOME": str(self.server.folder),
            "PATH": os.environ["PATH"],
        }
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(["git", "http-backend"], input=body, env=variables, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, text in {**fields, "Content-Length": str(len(content))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def served(tmp_path: Path) -> Iterator[_GitServer]:
    (tmp_path / "served").mkdir()
    with _GitServer(tmp_path / "served") as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def repository(served: _GitServer) -> Path:
    folder = _init(served.folder / "repo")
    _commit(folder, file="one\n")
    _git(folder, "tag", "v1")
    _git(folder, "branch", "old")
    (folder / "sub").mkdir()
    (folder / "sub/run").write_text("#!\n")
    (folder / "sub/run").chmod(0o755)
    (folder / "link").symlink_to("file")
    _commit(folder, file="two\n")
    _git(folder, "checkout", "--quiet", "-b", "side")
    _commit(folder, file="side\n")
    _git(folder, "checkout", "--quiet", "main")
    return folder


class _World:
    """A fetcher with a clock of its own, and what it warned of."""

    def __init__(self, store: Store, cache: Path) -> None:
        self.now = time.time()
        self.warnings: list[str] = []
        self.store = store
        self.cache = cache
        self.fetcher = self.make()

    def make(self, **settings: Any) -> StoreFetcher:
        network = Network({"PATH": os.environ["PATH"], "HOME": str(self.cache), "SSH_ASKPASS": "/bin/false"}, **settings)
        return StoreFetcher(self.store, self.cache, network, clock=lambda: self.now, on_warn=self.warnings.append)

    def fetch(self, address: str, **arguments: str) -> tuple[Path, dict[str, Any]]:
        path, attributes = self.fetcher.fetch("fetchGit", {"url": address, **arguments})
        return Path(self.store.real_path(path)), attributes

    def fail(self, address: str, **arguments: str) -> str:
        with pytest.raises(NivalisError) as caught:
            self.fetch(address, **arguments)
        assert caught.value.code == "git-failed"
        return str(caught.value)


@pytest.fixture
def world(store: Store, tmp_path: Path) -> _World:
    return _World(store, tmp_path / "cache")


def _names(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def test_references_and_revisions(world: _World, served: _GitServer, repository: Path) -> None:
    address = f"{served.address}/repo"
    head = _git(repository, "rev-parse", "main")
    place, attributes = world.fetch(address)
    assert (place / "file").read_text() == "two\n" and _names(place) == ["file", "link", "sub", "sub/run"]
    assert os.access(place / "sub/run", os.X_OK) and os.readlink(place / "link") == "file"
    assert (attributes["rev"], attributes["revCount"], attributes["lastModified"]) == (head, 2, 1000000000)
    for arguments, text, count in (
        ({"ref": "old"}, "one\n", 1),
        ({"ref": "refs/tags/v1"}, "one\n", 1),
        ({"ref": "side"}, "side\n", 3),
        ({"ref": "HEAD"}, "two\n", 2),
        ({"rev": _git(repository, "rev-parse", "old")}, "one\n", 1),
        ({"rev": _git(repository, "rev-parse", "side"), "ref": "side"}, "side\n", 3),
        ({"rev": _git(repository, "rev-parse", "side"), "allRefs": "1"}, "side\n", 3),
    ):
        place, attributes = world.fetch(address, **arguments)
        assert ((place / "file").read_text(), attributes["revCount"]) == (text, count)


def test_what_is_there_is_not_fetched_again(world: _World, served: _GitServer, repository: Path) -> None:
    address = f"{served.address}/repo"
    first, attributes = world.fetch(address)
    old = str(attributes["rev"])
    _commit(repository, file="three\n")
    count = len(served.asked)
    assert world.fetch(address)[0] == first
    assert world.fetch(address, rev=old)[0] == first
    assert len(served.asked) == count
    world.now += 3601
    assert (world.fetch(address)[0] / "file").read_text() == "three\n"
    assert len(served.asked) > count
    # What was thrown away upstream is still in the cache, by its revision.
    _git(repository, "reset", "--quiet", "--hard", "HEAD~2")
    world.now += 3601
    assert (world.fetch(address)[0] / "file").read_text() == "one\n"
    assert world.fetch(address, rev=old)[0] == first


def test_shallow(world: _World, served: _GitServer, repository: Path, tmp_path: Path) -> None:
    place, attributes = world.fetch(f"{served.address}/repo", shallow="1")
    assert (place / "file").read_text() == "two\n" and attributes["revCount"] == 0
    (folder,) = (tmp_path / "cache/shallow").iterdir()
    assert _git(folder, "rev-list", "--count", "--all") == "1"
    place, attributes = world.fetch(f"{served.address}/repo", shallow="1", rev=_git(repository, "rev-parse", "old"))
    assert (place / "file").read_text() == "one\n"


def test_dead_remotes(world: _World, served: _GitServer, repository: Path) -> None:
    address = f"{served.address}/repo"
    first, _ = world.fetch(address)
    shutil.move(repository, served.folder / "away")
    world.now += 3601
    # What came last serves on, with a warning; but not whom asks for what is there now.
    assert world.fetch(address)[0] == first
    assert len(world.warnings) == 1 and address in world.warnings[0]
    world.fetcher = world.make(ttl=0)
    assert "not found" in world.fail(address)
    world.fetcher = world.make(timeout=1.0)
    for dead in ("http://127.0.0.1:1/x", "https://127.0.0.1:1/x", "git://127.0.0.1:1/x", "ssh://127.0.0.1:1/x", "x@127.0.0.1:y"):
        assert "cannot be read" in world.fail(dead)


def test_nobody_is_asked_for_a_password(world: _World, served: _GitServer, repository: Path) -> None:
    served.is_closed_to_strangers = True
    assert "terminal prompts disabled" in world.fail(f"{served.address}/repo")


def test_what_is_not_there(world: _World, served: _GitServer, repository: Path, tmp_path: Path) -> None:
    address = f"{served.address}/repo"
    assert "refs/heads/none" in world.fail(address, ref="none")
    assert "no such revision" in world.fail(address, rev="1" * 40)
    assert "no such revision" in world.fail(address, rev="1" * 40, ref="main")
    assert "no such revision" in world.fail(address, rev="1" * 40, allRefs="1")
    assert "refs/tags/NAME" in world.fail(str(repository), ref="none")
    for arguments in (
        {"ref": "--upload-pack=x"},
        {"rev": "-x"},
        {"rev": "main"},
        {"ref": "a b"},
        {"lfs": "1"},
        {"submodules": "1", "exportIgnore": "1"},
    ):
        world.fail(address, **arguments)
    for other in ("ext::sh -c true", "ftp://x/y", "relative/path", "--upload-pack=x", "http://-x/y"):
        world.fail(other)
    # A folder in a repository is none itself.
    (repository / "below").mkdir()
    world.fail(str(repository / "below"))
    world.fail(str(tmp_path / "nothing"))


def test_files_are_as_they_are_in_the_revision(world: _World, served: _GitServer) -> None:
    folder = _init(served.folder / "attributes")
    (folder / "gone").mkdir()
    (folder / "gone/deep").write_text("x")
    (folder / "kept").mkdir()
    (folder / "kept/.gitattributes").write_text("secret export-ignore\n")
    (folder / "kept/secret").write_text("x")
    (folder / "kept/plain").write_text("$Format:%H$\n$Id$\n")
    _commit(folder, **{".gitattributes": "gone export-ignore\n* export-subst ident\nlines text eol=crlf\n", "lines": "a\nb\n"})
    for address in (str(folder), f"file://{folder}", f"{served.address}/attributes"):
        place, _ = world.fetch(address)
        assert _names(place) == [".gitattributes", "kept", "kept/.gitattributes", "kept/plain", "lines"]
        assert (place / "kept/plain").read_text() == "$Format:%H$\n$Id$\n" and (place / "lines").read_bytes() == b"a\nb\n"
        whole, _ = world.fetch(address, exportIgnore="")
        assert {"gone/deep", "kept/secret"} < set(_names(whole))


def test_submodules(world: _World, served: _GitServer, repository: Path, tmp_path: Path) -> None:
    inner = _init(served.folder / "group/inner")
    revision = _commit(inner, text="inner\n")
    outer = _init(served.folder / "group/outer")
    for name, address in (("relative", "../inner"), ("absolute", f"{served.address}/repo")):
        _git(outer, "submodule", "--quiet", "add", "--", f"{served.address}/group/inner" if name == "relative" else address, name)
        _git(outer, "config", "--file", ".gitmodules", f"submodule.{name}.url", address)
    _commit(outer, file="outer\n")
    _commit(inner, text="newer\n")
    for address in (f"{served.address}/group/outer", str(outer)):
        place, attributes = world.fetch(address, submodules="1")
        assert attributes["submodules"] is True
        assert (place / "relative/text").read_text() == "inner\n" and (place / "absolute/file").read_text() == "two\n"
        plain, _ = world.fetch(address)
        assert _names(plain) == [".gitmodules", "absolute", "file", "relative"]
    assert _git(outer, "ls-tree", "HEAD", "relative").split()[2] == revision
    # A repository from elsewhere reads nothing of this machine.
    _git(outer, "config", "--file", ".gitmodules", "submodule.relative.url", f"file://{inner}")
    _commit(outer)
    assert "on this machine" in world.fail(f"{served.address}/group/outer", submodules="1", ref="main", rev=_git(outer, "rev-parse", "HEAD"))


def test_trees_that_leave_their_folder(world: _World, served: _GitServer) -> None:
    folder = _init(served.folder / "hostile")
    _commit(folder, file="x")
    blob = _git(folder, "hash-object", "-w", "file")

    def make(tree: str) -> str:
        argv = ["git", "mktree", "--missing"]
        made = subprocess.run(argv, cwd=folder, input=tree, capture_output=True, text=True, check=True).stdout.strip()
        return _git(folder, "commit-tree", "-m", "x", made)

    below = make(f"100644 blob {blob}\tx\n")
    tree = _git(folder, "rev-parse", f"{below}^{{tree}}")
    target = (
        subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=folder, input=b"/tmp", capture_output=True, check=True).stdout.decode().strip()
    )
    for entries in (
        f"040000 tree {tree}\t..\n",
        f"100644 blob {blob}\t..\n",
        f"040000 tree {tree}\t.git\n",
        f"120000 blob {target}\ta\n040000 tree {tree}\ta\n",
    ):
        revision = make(entries)
        _git(folder, "update-ref", "refs/heads/bad", revision)
        world.fail(str(folder), ref="bad")
        world.fail(f"{served.address}/hostile", ref="bad")


def test_daemon(world: _World, served: _GitServer, repository: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--export-all", f"--base-path={served.folder}"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
        place, attributes = world.fetch(f"git://127.0.0.1:{port}/repo")
        assert (place / "file").read_text() == "two\n" and attributes["revCount"] == 2
    finally:
        process.terminate()
        process.wait()


def _ask(oracle: Oracle, expression: str, place: Path) -> Any:
    answer = oracle.run("nix-instantiate", ["--eval", "--read-write-mode", "--strict", "--json", "--expr", expression], store=place)
    assert answer.status == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        'ref = "side";',
        'ref = "refs/tags/v1"; name = "n";',
        'rev = "OLD";',
        'rev = "SIDE"; ref = "side";',
        'rev = "SIDE"; allRefs = true;',
        "shallow = true;",
        'submodules = true; ref = "modules";',
        'ref = "modules";',
        'ref = "attributes";',
    ],
)
def test_beside_cppnix(arguments: str, world: _World, served: _GitServer, repository: Path, tmp_path: Path) -> None:
    oracle, reason = cppnix226()
    if oracle is None:
        pytest.skip(reason)
    _git(repository, "checkout", "--quiet", "-b", "attributes")
    _commit(repository, **{".gitattributes": "link export-ignore\n"})
    _git(repository, "checkout", "--quiet", "-b", "modules", "main")
    inner = _init(served.folder / "inner")
    _commit(inner, text="inner\n")
    _git(repository, "submodule", "--quiet", "add", "--", f"{served.address}/inner", "inner")
    _commit(repository)
    _git(repository, "checkout", "--quiet", "main")
    for name in ("old", "side"):
        arguments = arguments.replace(name.upper(), _git(repository, "rev-parse", name))
    expression = f'builtins.mapAttrs (n: v: toString v) (builtins.fetchGit {{ url = "{served.address}/repo"; {arguments} }})'
    with Evaluator(world.store, EvalSettings(system="x86_64-linux"), fetcher=world.fetcher) as evaluator:
        value: Any = evaluator.eval(f"builtins.toJSON ({expression})")
        ours = json.loads(value.to_python())
    assert ours == _ask(oracle, expression, tmp_path / "theirs")


def test_changed_trees_beside_cppnix(world: _World, repository: Path, tmp_path: Path) -> None:
    oracle, reason = cppnix226()
    if oracle is None:
        pytest.skip(reason)
    (repository / "file").write_text("changed\n")
    (repository / "new").write_text("new\n")
    (repository / "unknown").write_text("x\n")
    (repository / "link").unlink()
    _git(repository, "add", "new")
    expression = f"builtins.mapAttrs (n: v: toString v) (builtins.fetchGit {repository})"
    with Evaluator(world.store, EvalSettings(system="x86_64-linux"), fetcher=world.fetcher) as evaluator:
        value: Any = evaluator.eval(f"builtins.toJSON ({expression})")
        ours = json.loads(value.to_python())
    assert ours == _ask(oracle, expression, tmp_path / "theirs")
    assert "changes that are not committed" in world.warnings[0]
