"""An index of binary packages: checked, decompressed within bounds, read, and joined with those of a suite's other pockets.

What the Release says of a compressed index (size, SHA-256) is checked before anything looks into it; how large it may become is what the
Release says of the plain one.  Decompressing goes on in a thread of its own, without Python's lock, while what has come is read.

The kernel reads it.  A package is a plain dict with the fields that matter to anybody here, by their names in the index: sixty thousand of
anything more elaborate would take longer than all else.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from queue import Queue
from threading import Thread
from typing import NoReturn

from nivalis._native import XzDecompressor, read_debian_index
from nivalis.debian.errors import ArchiveIndexError
from nivalis.debian.release import IndexFile, Release
from nivalis.debian.version import compare

__all__ = ["Stanza", "check_index", "join_pockets", "plan_index", "read_packages"]

# Package, Version, Architecture, Filename, Size and SHA256 are in every one; where the index has them also Source, Installed-Size, Provides,
# Pre-Depends, Depends, Description, Multi-Arch, Homepage, Section, Priority and Essential.
Stanza = dict[str, str]

_NEEDED = ("Version", "Architecture", "Filename", "Size", "SHA256")
_KINDS = (".xz", ".gz", "")
# Beyond any index that there is, for a Release that does not say how large the plain one is.
_MOST_BYTES = 1 << 30
_PIECE = 1 << 22
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
_VERSION = re.compile(r"[A-Za-z0-9.+~:-]+")


def plan_index(release: Release, component: str, architecture: str, place: str) -> tuple[IndexFile, int]:
    """The index to fetch, and how many bytes it may hold.  Raises ArchiveIndexError if the suite has none."""
    base = f"{component}/binary-{architecture}/Packages"
    plain = release.files.get(base)
    for kind in _KINDS:
        found = release.files.get(base + kind)
        if found is not None:
            return found, plain.size if plain is not None else _MOST_BYTES
    raise ArchiveIndexError(
        f"suite has no packages of `{component}` for `{architecture}`: `{place}`",
        code="no-index",
        hint=f"components: {', '.join(release.components)}; architectures: {', '.join(release.architectures)}",
    )


def check_index(data: bytes, wanted: IndexFile, place: str) -> None:
    """Raises ArchiveIndexError, with the code `index-mismatch`, if the bytes are not those that the Release names."""
    if len(data) != wanted.size:
        what = f"has {len(data)} bytes and not {wanted.size}"
    elif hashlib.sha256(data).hexdigest() != wanted.sha256:
        what = f"has another SHA-256 than {wanted.sha256}"
    else:
        return
    raise ArchiveIndexError(
        f"index is not the one that the Release names: `{place}` {what}",
        code="index-mismatch",
        hint="the mirror may be changing just now; try again in some minutes, or another mirror",
    )


def read_packages(data: bytes, path: str, most: int, place: str) -> Iterator[Stanza]:
    """The packages in a checked index; `path` ends as it is compressed, `most` bytes are the most it may hold.  Raises ArchiveIndexError."""
    for text in _texts(_pieces(data, path, most, place)):
        packages, unsound = read_debian_index(text)
        yield from packages
        if unsound is not None:
            _refuse(unsound, place)


def _refuse(stanza: Stanza, place: str) -> NoReturn:
    """Say what is wrong with a package."""
    name = stanza.get("Package", "")
    # Names and versions become names of files and of store paths.
    if not _NAME.fullmatch(name):
        raise ArchiveIndexError(f"not a package's name: `{name}`", where=place)
    for field in _NEEDED:
        if field not in stanza:
            raise ArchiveIndexError(f"package `{name}` has no field `{field}`", where=place)
    if not _VERSION.fullmatch(stanza["Version"]):
        raise ArchiveIndexError(f"package `{name}` has a version that cannot be: `{stanza['Version']}`", where=place)
    raise ArchiveIndexError(f"package `{name}` has a file that cannot be: `{stanza['Filename']}`", where=place)


def _texts(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole paragraphs, many at a time."""
    rest = b""
    for piece in pieces:
        end = piece.rfind(b"\n\n")
        if end < 0:
            rest += piece
            continue
        yield rest + piece[:end]
        rest = piece[end + 2 :]
    yield rest


def _pieces(data: bytes, path: str, most: int, place: str) -> Iterator[bytes]:
    """The plain bytes, made ready in a thread while the caller is busy with what came before."""
    if path.endswith("/Packages"):
        yield data
        return
    queue: Queue[bytes | Exception] = Queue(maxsize=8)
    is_given_up = False

    def work() -> None:
        total = 0
        try:
            for piece in (_inflate if path.endswith(".gz") else _decompress)(data):
                total += len(piece)
                if total > most:
                    raise ArchiveIndexError(f"index holds more than the {most} bytes that the Release names: `{place}`", code="index-mismatch")
                if is_given_up:
                    return
                queue.put(piece)
            queue.put(b"")
        except (ValueError, zlib.error, EOFError) as error:
            queue.put(ArchiveIndexError(f"index cannot be decompressed: `{place}` ({error})"))
        except ArchiveIndexError as error:
            queue.put(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while piece := queue.get():
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        is_given_up = True
        while thread.is_alive():
            while not queue.empty():
                queue.get()
            thread.join(0.01)


def _decompress(data: bytes) -> Iterator[bytes]:
    engine = XzDecompressor(512 << 20)
    yield from _feed(lambda piece: engine.decompress(piece, _PIECE), lambda: engine.eof, data)


def _inflate(data: bytes) -> Iterator[bytes]:
    engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    yield from _feed(lambda piece: engine.decompress(piece or engine.unconsumed_tail, _PIECE), lambda: engine.eof, data)


def _feed(step: Callable[[bytes], bytes], is_done: Callable[[], bool], data: bytes) -> Iterator[bytes]:
    piece = step(data)
    while True:
        if piece:
            yield piece
        if is_done():
            return
        was_empty = not piece
        piece = step(b"")
        if was_empty and not piece:
            raise EOFError("it ends early")


def join_pockets(pockets: Iterable[Iterable[Stanza]], architecture: str) -> dict[str, Stanza]:
    """One version of each package that can run on `architecture`: the newest; of equal ones, that of the first pocket.

    The order of the result is that of names.
    """
    found: dict[str, Stanza] = {}
    fitting = (architecture, "all")
    for pocket in pockets:
        for stanza in pocket:
            if stanza["Architecture"] not in fitting:
                continue
            name = stanza["Package"]
            known = found.get(name)
            if known is None or compare(stanza["Version"], known["Version"]) > 0:
                found[name] = stanza
    return dict(sorted(found.items()))
