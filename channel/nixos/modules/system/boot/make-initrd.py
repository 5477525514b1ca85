"""An initrd: Busybox, a script, and the kernel modules that disks need, with what these need.

It runs as a builder.  The variable `descriptionPath` names a file of JSON: `tree` is a kernel's folder of modules with the index of depmod(8);
`load` are modules that are loaded in any case, `available` those that are loaded for their devices, `filesystems` types of what is mounted;
`mounts`, `commands` and `configuration` (lines of modprobe.d(5), of which `options` count) are what the script works with; `library` is a part
of it in a file of its own, and `checker` a program that checks those of the mounts which say `check`, or null.

A module that is part of the kernel itself needs no file.  One of `available` that the kernel does not have is left out, since the list is
for all kernels; one of `load` is an error.

The archive is in the format "newc" of cpio, all times and owners are 0, so the same modules give the same bytes.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterable
from typing import Any

_UNPACK: dict[str, Callable[[bytes], bytes]] = {".ko": bytes, ".xz": lzma.decompress, ".gz": gzip.decompress}


def main() -> None:
    variables = os.environ
    with open(variables["descriptionPath"], encoding="utf-8") as file:
        wanted = json.load(file)
    modules = _Modules(wanted["tree"])
    load = [modules.find(name, is_needed=True) for name in wanted["load"]]
    # No device asks for these.
    load += [modules.find(name, is_needed=False) for name in wanted["filesystems"]]
    available = [modules.find(name, is_needed=False) for name in wanted["available"]]
    chosen = list(dict.fromkeys(path for path in (*load, *available) if path is not None))
    files = list(dict.fromkeys(path for one in chosen for path in modules.closure(one)))

    archive = _Archive()
    with open(wanted["busybox"], "rb") as program:
        archive.add("bin/busybox", program.read(), 0o755)
    with open(wanted["script"], encoding="utf-8") as script:
        archive.add("init", script.read().replace("@verbose@", "1" if wanted["verbose"] else "").encode(), 0o755)
    archive.add("modules.sh", _write_functions(modules, chosen, [path for path in load if path], wanted["configuration"]).encode())
    archive.add("commands.sh", _write_commands(wanted["commands"]).encode())
    if wanted["checker"] is not None:
        with open(wanted["checker"], "rb") as program:
            archive.add("bin/e2fsck", program.read(), 0o755)
    with open(wanted["library"], "rb") as library:
        archive.add("partitions.sh", library.read())
    archive.add("mounts", "".join(map(_write_mount, wanted["mounts"])).encode())
    for path in files:
        archive.add(_place(path), modules.read(path))
    out = variables["out"]
    os.mkdir(out)
    with open(f"{out}/initrd", "wb") as file:
        # Level 9 takes seven times as long, for less than one percent.
        file.write(gzip.compress(archive.close(), 6, mtime=0))


class _Modules:
    """The index: paths in the tree by names, what each needs, and the devices it is for."""

    def __init__(self, tree: str) -> None:
        self._tree = tree
        self._needs: dict[str, list[str]] = {}
        self._paths: dict[str, str] = {}
        for line in self._lines("modules.dep"):
            path, _, needs = line.partition(":")
            self._needs[path] = needs.split()
            self._paths[_name(path)] = path
        self._builtin = {_name(line) for line in self._lines("modules.builtin")}
        self._aliases: dict[str, list[str]] = {}
        self._behind: dict[str, list[str]] = {}
        for line in self._lines("modules.alias"):
            if line.startswith("alias "):
                _, pattern, name = line.split()
                self._aliases.setdefault(name, []).append(pattern)
                self._behind.setdefault(pattern, []).append(name)
        # What is to be loaded before although no symbol says so.
        self._before: dict[str, list[str]] = {}
        for line in self._lines("modules.softdep"):
            words = line.split()
            if words[:1] == ["softdep"] and "pre:" in words:
                names = words[words.index("pre:") + 1 :]
                self._before[words[1]] = names[: names.index("post:")] if "post:" in names else names

    def find(self, name: str, *, is_needed: bool) -> str | None:
        """A module's path; None of one that is in the kernel itself."""
        plain = name.replace("-", "_")
        if plain in self._paths:
            return self._paths[plain]
        # A file system's type may be no module's name (`auto`), and so may a name from another kernel's time.
        if is_needed and plain not in self._builtin:
            raise SystemExit(f"error: the kernel has no such module: `{name}`")
        return None

    def closure(self, path: str) -> list[str]:
        """What a module needs, and itself, in the order in which they are loaded."""
        found: dict[str, None] = {}
        self._collect(path, found, frozenset())
        return list(found)

    def aliases(self, path: str) -> list[str]:
        return self._aliases.get(_name(path), [])

    def read(self, path: str) -> bytes:
        with open(f"{self._tree}/{path}", "rb") as file:
            return _UNPACK[posixpath.splitext(path)[1]](file.read())

    def _collect(self, path: str, found: dict[str, None], above: frozenset[str]) -> None:
        if path in found or path in above:
            return
        # A name may stand for several modules, of which each processor takes its own.
        soft = [place for name in self._before.get(_name(path), []) for place in self._resolve(name)]
        # depmod writes the nearest first.
        for needed in (*soft, *reversed(self._needs[path])):
            self._collect(needed, found, above | {path})
        found[path] = None

    def _resolve(self, name: str) -> list[str]:
        plain = name.replace("-", "_")
        return [self._paths[one] for one in ([plain] if plain in self._paths else self._behind.get(name, [])) if one in self._paths]

    def _lines(self, name: str) -> list[str]:
        with open(f"{self._tree}/{name}", encoding="utf-8") as file:
            return file.read().splitlines()


def _name(path: str) -> str:
    return posixpath.basename(path).partition(".ko")[0].replace("-", "_")


def _place(path: str) -> str:
    return f"modules/{posixpath.basename(path).partition('.ko')[0]}.ko"


def _write_functions(modules: _Modules, chosen: Iterable[str], load: Iterable[str], configuration: str) -> str:
    """Shell functions: which modules are loaded always, which for a device, and with which options."""

    def command(path: str) -> str:
        return " ".join(["load", _name(path), *(f"/{_place(one)}" for one in modules.closure(path))])

    options = re.findall(r"^[ \t]*options[ \t]+(\S+)[ \t]+(.*?)[ \t]*$", configuration, re.MULTILINE)
    cases = [f"  case $1 in {'|'.join(map(_quote, patterns))}) {command(path)} ;; esac" for path in chosen if (patterns := modules.aliases(path))]
    return "\n".join(
        [
            "match_device() {",
            *cases,
            "  :",
            "}",
            "load_always() {",
            *(f"  {command(path)}" for path in load),
            "  :",
            "}",
            "options_of() {",
            "  case $1 in",
            *(f"    {name.replace('-', '_')}) echo {_shell(text)} ;;" for name, text in options),
            "    *) ;;",
            "  esac",
            "}",
            "",
        ]
    )


def _write_mount(one: dict[str, Any]) -> str:
    return " ".join([one["what"], one["where"], one["type"], ",".join(one["options"]), *(["check"] if one["check"] else [])]) + "\n"


def _quote(pattern: str) -> str:
    """A device's pattern for `case`: `*`, `?` and brackets mean the same there, and nothing else means anything."""
    return "".join(letter if letter.isalnum() or letter in "*?[]-_" else f"\\{letter}" for letter in pattern)


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _write_commands(commands: dict[str, str]) -> str:
    names = (("pre_device", "preDevice"), ("post_device", "postDevice"), ("post_mount", "postMount"))
    return "".join(f"{function}() {{\n:\n{commands[key]}\n}}\n" for function, key in names)


class _Archive:
    """cpio's format "newc", as the kernel's Documentation/driver-api/early-userspace/buffer-format.rst describes it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._folders: set[str] = set()
        self._count = 0
        # The first program needs a place to write to.
        self._append("dev", stat.S_IFDIR | 0o755)
        self._folders.add("dev")
        self._append("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))

    def add(self, path: str, data: bytes, mode: int = 0o644) -> None:
        folder = posixpath.dirname(path)
        if folder and folder not in self._folders:
            self._folders.add(folder)
            self._append(folder, stat.S_IFDIR | 0o755)
        self._append(path, stat.S_IFREG | mode, data)

    def close(self) -> bytes:
        self._append("TRAILER!!!", 0)
        return b"".join(self._parts)

    def _append(self, path: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._count += 1
        name = path.encode() + b"\0"
        # inode, mode, uid, gid, links, mtime, size, device of the file system, device, length of the name, checksum
        fields = (self._count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._parts += [_padded(header + name), _padded(data)]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


if __name__ == "__main__":
    main()
