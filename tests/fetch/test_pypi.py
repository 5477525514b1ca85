"""`builtin:pypi-fetch` over an index on loopback: both of its forms, the hash, and who one is to the server."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from fetch_server import Server
from nivalis.fetch.errors import FetchedHashError, FetchError, NotThereError
from nivalis.fetch.pypi import VARIABLE, Fetcher, builder_variables

WHEEL = b"the wheel's bytes"
NAME = "some_thing-1.0-py3-none-any.whl"


def fetch(
    server: Server, target: Path, *, digest: str | None = None, algorithm: str = "sha256", project: str = "some-thing", name: str = NAME
) -> bytes:
    fetcher = Fetcher({VARIABLE: f"{server.address}/simple/"}, sleep=lambda _: None)
    try:
        variables = {"project": project, "file": name, "outputHash": digest or hashlib.sha256(WHEEL).hexdigest(), "outputHashAlgo": algorithm}
        fetcher.fetch(variables, str(target))
    finally:
        fetcher.close()
    return target.read_bytes()


@pytest.mark.parametrize(
    "page",
    [
        f'<html><a href="/other-1.whl">other</a> <a data-x="1" href="../../files/{NAME}#sha256=00">{NAME}</a></html>',
        json.dumps({"files": [{"filename": "x", "url": "x"}, {"filename": NAME, "url": f"../../files/{NAME}"}]}),
    ],
    ids=["html", "json"],
)
def test_a_file_is_found_on_its_projects_page(server: Server, tmp_path: Path, page: str) -> None:
    server.files = {"/simple/some-thing/": page.encode(), f"/files/{NAME}": WHEEL}
    assert fetch(server, tmp_path / "wheel") == WHEEL


def test_hashes_of_other_kinds(server: Server, tmp_path: Path) -> None:
    server.files = {"/simple/some-thing/": f'<a href="/files/{NAME}">'.encode(), f"/files/{NAME}": WHEEL}
    digest = base64.b64encode(hashlib.sha512(WHEEL).digest()).decode()
    assert fetch(server, tmp_path / "wheel", digest=f"sha512-{digest}", algorithm="sha512") == WHEEL


def test_other_bytes_are_refused(server: Server, tmp_path: Path) -> None:
    server.files = {"/simple/some-thing/": f'<a href="/files/{NAME}">'.encode(), f"/files/{NAME}": b"other"}
    with pytest.raises(FetchedHashError, match="another file"):
        fetch(server, tmp_path / "wheel")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("page", "error"), [(b"", NotThereError), (b"{}", FetchError), (b"{", FetchError)], ids=["nothing", "no list", "no JSON"])
def test_what_is_no_page_or_lacks_the_file(server: Server, tmp_path: Path, page: bytes, error: type[Exception]) -> None:
    server.files = {"/simple/some-thing/": page}
    with pytest.raises(error):
        fetch(server, tmp_path / "wheel")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("project", "name"), [("", NAME), ("../x", NAME), ("Some_Thing", NAME), ("some-thing", "a/b"), ("some-thing", "")])
def test_names_that_are_none(server: Server, tmp_path: Path, project: str, name: str) -> None:
    with pytest.raises(FetchError, match="names no file"):
        fetch(server, tmp_path / "wheel", project=project, name=name)
    assert server.asked == []


def test_the_index_is_that_of_pip_and_uv() -> None:
    assert builder_variables({"UV_DEFAULT_INDEX": "http://uv.example/", "HTTPS_PROXY": "p", "HOME": "/x"}) == {
        VARIABLE: "http://uv.example/",
        "HTTPS_PROXY": "p",
    }
    assert builder_variables({"UV_DEFAULT_INDEX": "u", "PIP_INDEX_URL": "p"})[VARIABLE] == "p"


def test_no_index() -> None:
    with pytest.raises(FetchError, match="no index") as caught:
        Fetcher({})
    assert caught.value.code == "no-index"


def test_who_one_is_is_not_said(server: Server, tmp_path: Path) -> None:
    address = server.address.replace("//", "//me:secret@")
    fetcher = Fetcher({VARIABLE: f"{address}/simple"}, sleep=lambda _: None)
    server.files = {"/simple/some-thing/": b""}
    with pytest.raises(NotThereError) as caught:
        fetcher.fetch({"project": "some-thing", "file": NAME, "outputHash": "0" * 64, "outputHashAlgo": "sha256"}, str(tmp_path / "wheel"))
    fetcher.close()
    assert "secret" not in str(caught.value)
