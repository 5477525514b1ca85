"""`builtin:debian-fetch`, run as a build runs it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fetch_server import Server, serve
from nivalis.build.errors import SandboxError
from nivalis.build.events import BuildFinished, Event, FetchProgress
from nivalis.build.realisation import realise
from nivalis.build.sandbox import check_available
from nivalis.build.settings import BuildSettings
from nivalis.errors import NivalisError
from nivalis.lang.evaluator import EvalSettings, Evaluator
from nivalis.store.layout import StoreLayout
from nivalis.store.store import Store

DEB = b"what is in the package"
PATH = "pool/main/c/curl/curl_7.88.1-10+deb12u15_amd64.deb"
EXPRESSION = """{ path, sha256 }: derivation {
  name = builtins.replaceStrings [ "~" ] [ "-" ] (baseNameOf path); system = "builtin"; builder = "builtin:debian-fetch"; inherit path;
  outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = sha256; preferLocalBuild = true;
}"""

Fetch = Callable[..., bytes]


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def fetch(tmp_path: Path) -> Iterator[Fetch]:
    """Fetches with these mirrors; what came."""
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    (tmp_path / "nivalis").mkdir()
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with Store.open(StoreLayout.parse(f"local?root={tmp_path / 'root'}", {})) as store:

        def run(
            mirrors: list[str], path: str = PATH, data: bytes = DEB, archive: str = "", *, others: dict[str, bytes] | None = None, **options: Any
        ) -> bytes:
            (tmp_path / "nivalis/debian.json").write_text(json.dumps({"mirrors": mirrors, **({"snapshotArchive": archive} if archive else {})}))
            with Evaluator(store, EvalSettings(system="x86_64-linux")) as evaluator:
                make: Any = evaluator.eval(EXPRESSION)
                wanted = {path: data, **(others or {})}
                drvs = [str(make({"path": path, "sha256": hashlib.sha256(data).hexdigest()})["drvPath"].to_python()) for path, data in wanted.items()]
                evaluator.flush()
            settings = BuildSettings.make("x86_64-linux", environment, {"http-connections": "3"})
            result = realise(store, drvs, settings, **options)
            result.check()
            assert [Path(store.real_path(path)).read_bytes() for path in result.paths] == list(wanted.values())
            assert all(store.path_info(path).ultimate for path in result.paths)
            return Path(store.real_path(result.paths[0])).read_bytes()

        yield run


def _failure(fetch: Fetch, *arguments: object, **options: object) -> str:
    with pytest.raises(NivalisError) as caught:
        fetch(*arguments, **options)
    return str(caught.value)


def test_the_next_mirror_is_asked(server: Server, fetch: Fetch) -> None:
    server.files[f"/second/debian/{PATH}".replace("+", "%2B")] = DEB
    assert fetch([f"{server.address}/first/debian", f"{server.address}/second/debian"]) == DEB


def test_a_mirror_with_another_file_is_not_believed(server: Server, fetch: Fetch) -> None:
    quoted = PATH.replace("+", "%2B")
    server.files |= {f"/liar/debian/{quoted}": b"<html>", f"/second/debian/{quoted}": DEB}
    assert fetch([f"{server.address}/liar/debian", f"{server.address}/second/debian"]) == DEB


def test_only_another_file(server: Server, fetch: Fetch) -> None:
    server.files[f"/liar/debian/{PATH}".replace("+", "%2B")] = b"<html>"
    assert "error[hash-mismatch]: mirror has another file" in _failure(fetch, [f"{server.address}/liar/debian"])


def test_security_updates_lie_in_their_own_archive(server: Server, fetch: Fetch) -> None:
    path = "pool/updates/main/a/a_1_amd64.deb"
    server.files[f"/debian-security/{path}"] = DEB
    assert fetch([f"{server.address}/debian"], path) == DEB
    assert server.asked == [(f"/debian-security/{path}", 200)]


def test_many_at_once_over_few_connections(server: Server, fetch: Fetch) -> None:
    server.keeps_connections = True
    others = {f"pool/main/x/x{number}_1_amd64.deb": b"%02d" % number * 300_000 for number in range(30)}
    server.files |= {f"/debian/{path}".replace("+", "%2B"): data for path, data in {PATH: DEB, **others}.items()}
    events: list[Event] = []
    assert fetch([f"{server.address}/debian"], others=others, listen=events.append) == DEB
    assert server.connections <= 3
    assert len([event for event in events if isinstance(event, BuildFinished)]) == 31
    assert {event.received for event in events if isinstance(event, FetchProgress) and event.received == event.size} == {len(DEB), 600_000}


def test_one_of_many_is_gone(server: Server, fetch: Fetch) -> None:
    others = {f"pool/main/x/x{number}_1_amd64.deb": b"x" for number in range(5)}
    assert "error[package-gone]" in _failure(fetch, [f"{server.address}/debian"], others=others)


def test_gone_everywhere(server: Server, fetch: Fetch) -> None:
    said = _failure(fetch, [f"{server.address}/debian"])
    assert "error[package-gone]: no mirror has this package any more" in said and "`snapshotArchive`" in said


def _serve_archive(server: Server, version: str) -> None:
    quoted = version.replace("+", "%2B").replace(":", "%3A")
    rows = [{"name": "curl", "binary_version": "7.88.1-9"}, {"name": "curl", "binary_version": version}]
    server.files["/mr/binary/curl/"] = json.dumps({"result": rows}).encode()
    files = [{"architecture": "arm64", "hash": "00"}, {"architecture": "amd64", "hash": "ab12"}]
    server.files[f"/mr/binary/curl/{quoted}/binfiles"] = json.dumps({"result": files}).encode()
    server.files["/file/ab12"] = DEB


@pytest.mark.parametrize("epoch", ["", "1:"])
def test_an_archive_of_old_packages(server: Server, fetch: Fetch, epoch: str) -> None:
    _serve_archive(server, f"{epoch}7.88.1-10+deb12u15")
    assert fetch([f"{server.address}/debian"], archive=server.address) == DEB
    assert fetch([f"{server.address}/debian"], archive=server.address) == DEB


def test_not_even_in_the_archive(server: Server, fetch: Fetch) -> None:
    _serve_archive(server, "7.88.1-11")
    assert "error[package-gone]" in _failure(fetch, [f"{server.address}/debian"], archive=server.address)


def test_paths_that_leave_the_mirror(fetch: Fetch) -> None:
    assert "derivation names no file of a mirror" in _failure(fetch, ["http://127.0.0.1:9/debian"], "../../etc/x_1_amd64.deb")
