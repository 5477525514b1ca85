"""Fetching into the store: with a hash, without one, again, and what goes wrong; Git beside CppNix."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from nivalis.errors import NivalisError
from nivalis.fetch import Network, StoreFetcher, download
from nivalis.fetch.archive import unpack
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store
from oracle import cppnix28

SHA = hashlib.sha256(b"hello\n").hexdigest()


def _tar(*entries: tuple[str, bytes | str | None, int], kind: str = "w:gz") -> bytes:
    """An archive: (name, bytes of a file, target of a symlink or None for a folder; mode)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=kind) as archive:  # type: ignore[call-overload]
        for name, content, mode in entries:
            member = tarfile.TarInfo(name)
            member.mode = mode
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type = tarfile.SYMTYPE
                member.linkname = content
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return stream.getvalue()


@pytest.fixture
def fetcher(store: Store, tmp_path: Path) -> StoreFetcher:
    return StoreFetcher(store, tmp_path / "cache", Network({"PATH": os.environ["PATH"]}))


def _read(store: Store, path: str) -> bytes:
    return Path(store.real_path(path)).read_bytes()


def test_a_file_with_its_hash_is_fetched_once(server: Any, store: Store, fetcher: StoreFetcher) -> None:
    server.files["/a%20b.txt"] = b"hello\n"
    arguments = {"url": f"{server.address}/a%20b.txt", "sha256": SHA, "name": "x"}
    path, _ = fetcher.fetch("fetchurl", arguments)
    assert path.endswith("-x") and _read(store, path) == b"hello\n"
    assert fetcher.fetch("fetchurl", arguments)[0] == path
    assert server.asked == [("/a%20b.txt", 200)]


def test_a_wrong_hash(server: Any, fetcher: StoreFetcher) -> None:
    server.files["/x"] = b"other"
    with pytest.raises(NivalisError) as caught:
        fetcher.fetch("fetchurl", {"url": f"{server.address}/x", "sha256": SHA})
    assert caught.value.code == "hash-mismatch"
    for data in (b"hello\n", b"other"):
        assert "sha256-" + base64.b64encode(hashlib.sha256(data).digest()).decode() in str(caught.value)


def test_without_a_hash_the_cache_remembers(server: Any, store: Store, tmp_path: Path) -> None:
    now = [1000.0]
    fetcher = StoreFetcher(store, tmp_path / "cache", Network({}, ttl=60), clock=lambda: now[0])
    server.files["/x"] = b"one"
    url = {"url": f"{server.address}/x"}
    first, _ = fetcher.fetch("fetchurl", url)
    server.files["/x"] = b"two"
    assert fetcher.fetch("fetchurl", url)[0] == first
    now[0] += 61
    second, _ = fetcher.fetch("fetchurl", url)
    assert _read(store, second) == b"two"
    now[0] += 61
    assert fetcher.fetch("fetchurl", url)[0] == second
    assert [status for _, status in server.asked] == [200, 200, 304]
    for file in (tmp_path / "cache/fetched").iterdir():
        file.write_text("{")
    assert fetcher.fetch("fetchurl", url)[0] == second


def test_retries_redirects_and_what_is_not_there(server: Any, tmp_path: Path) -> None:
    server.files["/x"] = b"hello"
    server.redirects["/old"] = "/x"
    server.redirects["/trap"] = "file:///etc/passwd"
    server.failures = 2
    got = download(f"{server.address}/old", f"{tmp_path}/x", network=Network({}), sleep=lambda seconds: None)
    assert (got.address, (tmp_path / "x").read_bytes()) == (f"{server.address}/x", b"hello")
    for name, code in (("gone", "not-found"), ("trap", "download-failed")):
        with pytest.raises(NivalisError) as caught:
            download(f"{server.address}/{name}", f"{tmp_path}/{name}", network=Network({}), sleep=lambda seconds: None)
        assert caught.value.code == code
    server.cuts_short = True
    with pytest.raises(NivalisError, match="download failed"):
        download(f"{server.address}/x", f"{tmp_path}/short", network=Network({}, attempts=1))
    with pytest.raises(NivalisError, match="cannot be fetched"):
        download("ftp://x/y", f"{tmp_path}/f", network=Network({}))
    assert sorted(os.listdir(tmp_path)) == ["x"]


def test_archives(server: Any, store: Store, fetcher: StoreFetcher, tmp_path: Path) -> None:
    entries = [("top", None, 0o755), ("top/run", b"#!/bin/sh\n", 0o4755), ("top/link", "run", 0o777), ("top/a/b", b"x", 0o644)]
    paths = set()
    for kind in ("gz", "bz2", "xz", ""):
        server.files[f"/x.{kind}"] = _tar(*entries, kind=f"w:{kind}")
        paths.add(fetcher.fetch("fetchTarball", {"url": f"{server.address}/x.{kind}"})[0])
    (path,) = paths
    assert path.endswith("-source")
    place = Path(store.real_path(path))
    assert sorted(str(file.relative_to(place)) for file in place.rglob("*")) == ["a", "a/b", "link", "run"]
    assert (place / "run").stat().st_mode & 0o7777 == 0o555
    assert fetcher.search_entry(f"file://{_write(tmp_path, server.files['/x.gz'])}") == path


def _write(folder: Path, data: bytes) -> Path:
    file = folder / "archive.tar.gz"
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    "entries",
    [
        [("../x", b"x", 0o644)],
        [("/x", b"x", 0o644)],
        [("a", "/tmp", 0o777), ("a/x", b"x", 0o644)],
        [("a", "..", 0o777), ("a/x", b"x", 0o644)],
        [("a/" * 300 + "x", b"x", 0o644)],
        [("n" * 300, b"x", 0o644)],
        [("a", b"x", 0o644), ("a/b", b"x", 0o644)],
        [(".", b"x", 0o644)],
    ],
)
def test_archives_that_leave_their_folder(entries: Any, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(NivalisError) as caught:
        unpack(str(_write(tmp_path, _tar(*entries))), str(target))
    assert caught.value.code == "invalid-archive"
    assert sorted(os.listdir(tmp_path)) == ["archive.tar.gz", "target"]


def test_a_damaged_archive(tmp_path: Path) -> None:
    data = _tar(("x", os.urandom(10_000), 0o644))
    for number, damaged in enumerate((data[:5000], b"", b"nonsense", data[:100] + b"\0" * 50 + data[150:])):
        target = tmp_path / str(number)
        target.mkdir()
        with pytest.raises(NivalisError) as caught:
            unpack(str(_write(tmp_path, damaged)), str(target))
        assert caught.value.code == "invalid-archive"


# ---------------------------------------------------------------------------------------------------- Git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "file").write_text("one\n")
    (folder / "run").write_text("#!\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("file")
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "--message=one")
    (folder / "file").write_text("two\n")
    _git(folder, "commit", "--quiet", "--all", "--message=two")
    _git(folder, "branch", "other", "HEAD~1")
    return folder


def _git(folder: Path, *words: str) -> str:
    names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": "1000000000 +0000", "GIT_COMMITTER_DATE": "1000000000 +0000"}
    env = {**os.environ, **names, **dates, "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", *words], cwd=folder, env=env, check=True, capture_output=True, text=True).stdout.strip()


def test_git(repository: Path, store: Store, fetcher: StoreFetcher) -> None:
    path, attributes = fetcher.fetch("fetchGit", {"url": str(repository)})
    assert _read(store, f"{path}/file") == b"two\n" and os.readlink(store.real_path(f"{path}/link")) == "file"
    assert attributes["rev"] == _git(repository, "rev-parse", "HEAD")
    assert (attributes["revCount"], attributes["lastModified"], attributes["lastModifiedDate"]) == (2, 1000000000, "20010909014640")
    assert not os.path.exists(store.real_path(f"{path}/.git"))
    old, attributes = fetcher.fetch("fetchGit", {"url": f"file://{repository}", "ref": "other"})
    assert _read(store, f"{old}/file") == b"one\n" and attributes["revCount"] == 1
    assert fetcher.fetch("fetchGit", {"url": str(repository), "rev": str(attributes["rev"])})[0] == old
    (repository / "file").write_text("changed\n")
    (repository / "unknown").write_text("x")
    changed, attributes = fetcher.fetch("fetchGit", {"url": str(repository)})
    assert _read(store, f"{changed}/file") == b"changed\n" and attributes["rev"] == "0" * 40
    assert sorted(os.listdir(store.real_path(changed))) == ["file", "link", "run"]


@pytest.mark.parametrize("arguments", [{"rev": "--help"}, {"ref": "--help"}, {"ref": "no-such"}, {"rev": "0" * 39 + "1"}])
def test_git_errors(arguments: dict[str, str], repository: Path, fetcher: StoreFetcher) -> None:
    with pytest.raises(NivalisError) as caught:
        fetcher.fetch("fetchGit", {"url": str(repository), **arguments})
    assert caught.value.code == "git-failed"
    with pytest.raises(NivalisError):
        fetcher.fetch("fetchGit", {"url": "ext::sh -c true"})


@pytest.mark.parametrize(
    "text",
    [
        "toString (builtins.fetchGit DIR)",
        '(builtins.fetchGit { url = DIR; ref = "other"; name = "n"; }).outPath',
        "builtins.removeAttrs (builtins.fetchGit DIR) [ ]",
        'builtins.fetchurl "file://${toString DIR}/file"',
        'builtins.fetchTarball "file://${toString DIR}/../x.tar.gz"',
    ],
)
def test_beside_cppnix(text: str, repository: Path, store: Store, fetcher: StoreFetcher, tmp_path: Path) -> None:
    oracle, reason = cppnix28()
    if oracle is None:
        pytest.skip(reason)
    (tmp_path / "x.tar.gz").write_bytes(_tar(("top/x", b"x", 0o644), ("top/y", "x", 0o777)))
    expression = f"builtins.toJSON ({text.replace('DIR', str(repository))})"
    with Evaluator(store, EvalSettings(system="x86_64-linux"), fetcher=fetcher) as evaluator:
        value: Any = evaluator.eval(expression)
        ours = value.to_python()
    arguments = ["--eval", "--read-write-mode", "--json", "--expr", expression]
    answer = oracle.run("nix-instantiate", arguments, store=tmp_path / "theirs")
    assert answer.status == 0, answer.stderr
    assert json.loads(ours) == json.loads(json.loads(answer.stdout))
