"""`builtin:pypi-fetch`: one file of a Python package, from whichever index has it.

The derivation has `project` and `file`, the file's name, and the hash of its output; which index is asked is the machine's own matter, so no
address is part of a derivation.  It is the one that pip and uv would ask: what `PIP_INDEX_URL` or `UV_DEFAULT_INDEX` say, else the one that
pip itself knows.  An index is believed only if the hash is right.

Indices answer as PEP 503 (HTML) or PEP 691 (JSON) say; the latter is asked for, the former understood.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from html import unescape
from urllib.parse import unquote, urljoin, urlsplit

from nivalis import _native
from nivalis._native import Hash
from nivalis.fetch.errors import FetchedHashError, FetchError, NotThereError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import Progress, download, open_connections

__all__ = ["VARIABLE", "Fetcher", "build", "builder_variables"]

VARIABLE = "NIVALIS_PYPI"
_CONFIGURED = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
_NETWORK_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_LINK = re.compile(r"""<a\b[^>]*?\bhref\s*=\s*["']([^"']+)["']""", re.IGNORECASE)


def builder_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What the builder is told of the machine it runs on."""
    names = [*_NETWORK_VARIABLES, *map(str.upper, _NETWORK_VARIABLES)]
    index = next((environment[name] for name in _CONFIGURED if environment.get(name)), None) or _pips_index()
    return {**{name: environment[name] for name in names if name in environment}, VARIABLE: index}


def _pips_index() -> str:
    """The index that pip asks where nothing is configured; empty without a pip beside this Python."""
    try:
        from pip._internal.models.index import PyPI
    except ImportError:
        return ""
    return str(PyPI.simple_url)


class Fetcher:
    """Fetches files of packages over kept connections.  Safe to use from several threads."""

    def __init__(self, told: Mapping[str, str], sleep: Callable[[float], object] = time.sleep) -> None:
        self._index = told.get(VARIABLE, "").rstrip("/")
        if not self._index:
            raise FetchError("no index of Python packages is known", code="no-index", hint=f"{' or '.join(_CONFIGURED[:2])} names one")
        self._network = Network(told, attempts=3)
        self._connections = open_connections(self._network)
        self._sleep = sleep

    def fetch(self, environment: Mapping[str, str], target: str, on_progress: Progress | None = None) -> None:
        """Fetch what a derivation with these variables names into the new file `target`.  Raises FetchError, NotThereError, FetchedHashError."""
        project, name = environment.get("project", ""), environment.get("file", "")
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", project) or not name or "/" in name:
            raise FetchError(f"derivation names no file of a Python package: `{project}`, `{name}`", hint="its attributes `project` and `file` do")
        algorithm = environment.get("outputHashAlgo") or None
        wanted = Hash.parse(environment.get("outputHash", ""), algorithm)
        page = f"{self._index}/{project}/"
        address = self._find(page, name, f"{target}.index")
        self._download(address, target, on_progress)
        found = _native.hash_file(wanted.algo, target)[0]
        if found != wanted:
            os.unlink(target)
            raise FetchedHashError(
                f"index has another file: `{_shown(address)}` ({found.format_prefixed('sri')}, not {wanted.format_prefixed('sri')})"
            )

    def abort(self) -> None:
        """End all that is under way, with an error."""
        self._connections.abort()

    def close(self) -> None:
        self._connections.close()

    def _find(self, page: str, name: str, scratch: str) -> str:
        """The address of a file that a project's page lists.  Raises FetchError, NotThereError."""
        try:
            self._download(page, scratch)
            with open(scratch, encoding="utf-8", errors="replace") as file:
                text = file.read()
        finally:
            if os.path.exists(scratch):
                os.unlink(scratch)
        if text.lstrip().startswith("{"):
            try:
                links = [entry["url"] for entry in json.loads(text)["files"]]
            except (ValueError, KeyError, TypeError):
                raise FetchError(f"index answers with what is no list of files: `{_shown(page)}`") from None
        else:
            links = [unescape(link) for link in _LINK.findall(text)]
        for link in links:
            if unquote(urlsplit(link).path).rpartition("/")[2] == name:
                address: str = urljoin(page, link).partition("#")[0]
                return address
        raise NotThereError(
            f"index does not have this file: `{name}` (asked: {_shown(page)})",
            hint=f"{' or '.join(_CONFIGURED[:2])} names an index that has",
        )

    def _download(self, address: str, target: str, on_progress: Progress | None = None) -> None:
        download(address, target, network=self._network, connections=self._connections, sleep=self._sleep, on_progress=on_progress)


def build(environment: Mapping[str, str], out: str) -> None:
    """Fetch `$file` of `$project`.  Raises FetchError."""
    file = f"{os.getcwd()}/fetched"
    Fetcher(environment).fetch(environment, file)
    shutil.move(file, out)


def _shown(address: str) -> str:
    """An address without who one is to its server."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
