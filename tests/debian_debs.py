"""Small .debs made by hand, hostile ones too, and packages built from them in a temporary place."""

from __future__ import annotations

import gzip
import io
import lzma
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path

from nivalis.debian import package

SYSTEM = "x86_64-linux"

Entry = tuple[tarfile.TarInfo, bytes]


def file(name: str, data: bytes = b"", *, mode: int = 0o644, owner: str = "root", group: str = "root") -> Entry:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uname, info.gname, info.mtime = len(data), mode, owner, group, 1_600_000_000
    return info, data


def special(name: str, kind: bytes, target: str = "") -> Entry:
    """A folder (tarfile.DIRTYPE), a link, a device …"""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o755
    return info, b""


def link(name: str, target: str) -> Entry:
    return special(name, tarfile.SYMTYPE, target)


def make_tar(entries: Iterable[Entry], format: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def make_ar(members: Mapping[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, data in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) & 1))
    return b"".join(parts)


def _zstd(data: bytes) -> bytes:
    module = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    compressed: bytes = module.compress(data)
    return compressed


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": _zstd}


def make_deb(
    entries: Iterable[Entry], *, name: str = "x", scripts: Mapping[str, str] | None = None, compression: str = "", data: bytes | None = None
) -> bytes:
    """A .deb; `data` instead of what the entries give is its data.tar before it is compressed."""
    control = {"control": f"Package: {name}\nVersion: 1\n", **(scripts or {})}
    compress = COMPRESSIONS[compression]
    return make_ar(
        {
            "debian-binary": b"2.0\n",
            f"control.tar{compression}": compress(make_tar(file(f"./{path}", text.encode()) for path, text in control.items())),
            f"data.tar{compression}": compress(make_tar(entries) if data is None else data),
        }
    )


def build(out: Path, *debs: bytes, depends: Iterable[Path] = ()) -> Path:
    """The package of some .debs."""
    sources = []
    for number, deb in enumerate(debs):
        source = out.parent / f"{out.name}-{number}.deb"
        source.write_bytes(deb)
        sources.append(str(source))
    words = {"format": package.FORMAT, "system": SYSTEM, "sources": " ".join(sources), "depends": " ".join(map(str, depends))}
    package.build(words, str(out))
    return out
