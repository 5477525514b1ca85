"""The mirror of the tour, before a mirror of Debian on this machine."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tour.mirror import Mirror

from fetch_server import Server, serve


@pytest.fixture
def upstream() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def mirror(tmp_path: Path, upstream: Server) -> Iterator[Mirror]:
    with closing(Mirror(tmp_path / "mirror", [f"{upstream.address}/debian"])) as mirror:
        mirror.start()
        yield mirror


def _get(mirror: Mirror, path: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{mirror.port}{path}") as answer:
        return bytes(answer.read())


def test_what_may_change_is_asked_for_each_time(mirror: Mirror, upstream: Server) -> None:
    path = "/debian/dists/bookworm/InRelease"
    upstream.files[path] = b"old"
    assert _get(mirror, path) == b"old"
    upstream.files[path] = b"new"
    assert _get(mirror, path) == b"new"


def test_what_has_its_hash_for_a_name_is_asked_for_once(mirror: Mirror, upstream: Server) -> None:
    path = "/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/00ff"
    upstream.files[path] = b"Package: bash\n"
    assert _get(mirror, path) == _get(mirror, path) == b"Package: bash\n"
    assert [place for place, _ in upstream.asked] == [path]


def test_security_updates_are_looked_for_in_their_archive(mirror: Mirror, upstream: Server) -> None:
    path = "/debian-security/pool/updates/main/b/bash/bash_5_amd64.deb"
    upstream.files[path] = b"a package"
    assert _get(mirror, path) == b"a package"


@pytest.mark.parametrize("path", ["/debian/dists/none/InRelease", "/other/file", "/debian/../../secret", "/debian/%2e%2e/%2e%2e/secret"])
def test_nothing_else_is_there(mirror: Mirror, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        _get(mirror, path)
    with caught.value as answer:
        assert answer.code == 404


def test_what_nobody_asks_for_goes(tmp_path: Path) -> None:
    old, new = tmp_path / "debian/pool/old.deb", tmp_path / "debian/pool/new.deb"
    old.parent.mkdir(parents=True)
    for file in (old, new):
        file.write_bytes(b"a package")
    os.utime(old, (0, 0))
    with closing(Mirror(tmp_path, [])) as mirror:
        mirror.start()
        assert not old.exists() and _get(mirror, "/debian/pool/new.deb") == b"a package"
