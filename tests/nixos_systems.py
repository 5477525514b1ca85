"""Systems for tests: a small archive of all packages that the channel's modules name, and configurations evaluated over it.

Nothing of it can be built; systems over a real archive are `nixos_machines`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from debian_archive import stanza
from nivalis.debian.index import join_pockets, read_packages
from nivalis.debian.release import Release
from nivalis.debian.resolve import Resolver
from nivalis.debian.snapshot import write_snapshot
from nivalis.errors import EvalError
from nivalis.lang import EvalSettings, Evaluator

CHANNEL = Path(__file__).resolve().parent.parent / "channel"
NIXOS = CHANNEL / "nixos"
SYSTEM = "x86_64-linux"
KERNEL = "linux-image-6.1.0-9-cloud-amd64"
# What `pkgs.debian.${…}` may stand for, and what `stdenvNoCC` is made of.
_UNNAMED = {
    *("e2fsprogs", "btrfs-progs", "xfsprogs", "dosfstools", "nfs-common", "cifs-utils"),
    *("base-files", "base-passwd", "bzip2", "coreutils", "dash", "debianutils", "diffutils", "file", "findutils", "gawk", "grep", "gzip"),
    *("hostname", "libc-bin", "make", "ncurses-base", "patch", "patchelf", "procps", "sed", "tar", "util-linux", "xz-utils", "binutils"),
    *("python3", "curl", "bash", "libc6", "libgcc-s1", "git"),
}
# Of which more than their names is asked.
_VERSIONS = {"python3": "3.11.2-1+b1"}


def named_packages() -> set[str]:
    """The packages of Debian that modules name: `pkgs.debian.NAME`, and the lists after `with pkgs.debian;`."""
    found = set(_UNNAMED)
    for file in NIXOS.rglob("*.nix"):
        text = file.read_text()
        found |= set(re.findall(r"pkgs\.debian\.([a-z0-9][a-z0-9+.-]*)", text))
        for words in re.findall(r"with pkgs\.debian; \[([^\]]*)\]", text):
            found |= {word for word in words.split() if re.fullmatch(r"[a-z0-9][a-z0-9+.-]*", word)}
    return found


def make_archive(folder: Path) -> Path:
    """A snapshot of these, each package without a file."""
    paragraphs = [
        *(
            stanza(name, _VERSIONS.get(name, "1.0-1"), depends="libc6" if name != "libc6" else "")
            for name in sorted(named_packages())
            if not name.startswith("linux-image")
        ),
        stanza("linux-image-cloud-amd64", "6.1.1", depends=KERNEL),
        stanza("linux-image-amd64", "6.1.1", depends=KERNEL.replace("-cloud", "")),
        stanza(KERNEL, "6.1.1-1"),
        stanza(KERNEL.replace("-cloud", ""), "6.1.1-1"),
        stanza("broken", depends="never"),
    ]
    text = "".join(paragraphs).encode()
    packages = join_pockets([read_packages(text, "main/binary-amd64/Packages", len(text), "test")], "amd64")
    release = Release("oldstable", "bookworm", 1_700_000_000, None, ("amd64",), ("main",), False, "0" * 64, {})
    write_snapshot(str(folder), [(release, ["main"])], dict(sorted(packages.items())), Resolver(packages, "amd64").resolve(), "amd64")
    return folder


class Systems:
    """Configurations, as texts of modules, evaluated."""

    def __init__(self, evaluator: Evaluator, snapshot: Path) -> None:
        self._evaluator = evaluator
        self.snapshot = snapshot

    def eval(self, configuration: str, text: str) -> Any:
        """What an expression over `config`, `options`, `pkgs`, `lib` and `system` gives."""
        made = f"import {NIXOS} {{ snapshot = {self.snapshot}; configuration = {configuration}; }}"
        return self._evaluator.eval(f"let made = {made}; inherit (made) config options pkgs system; inherit (pkgs) lib; in {text}").to_python()

    def data(self, configuration: str) -> dict[str, Any]:
        """system.json."""
        found = json.loads(self.eval(configuration, "builtins.toJSON config.system.build.data"))
        assert isinstance(found, dict)
        return found

    def files(self, configuration: str, of: str) -> dict[str, Any]:
        """The entries of one of a system's trees: `units`, `etc`, `toplevel`."""
        found = json.loads(self.eval(configuration, f"config.system.build.{of}.drvAttrs.entries"))["files"]
        assert isinstance(found, dict)
        return found

    def unit(self, configuration: str, name: str) -> str:
        """A unit's text, or that of its drop-in."""
        files = self.files(configuration, "units")
        entry = files.get(name) or files[f"{name}.d/overrides.conf"]
        return str(entry["text"])

    def etc(self, configuration: str, name: str) -> str:
        """The text of a declared file in /etc."""
        return str(self.eval(configuration, f'config.environment.etc."{name}".text'))

    def fail(self, configuration: str, text: str = "system.drvPath") -> EvalError:
        with pytest.raises(EvalError) as caught:
            self.eval(configuration, f"let v = {text}; in builtins.deepSeq v v")
        return caught.value


@contextmanager
def systems_over(snapshot: Path) -> Iterator[Systems]:
    with Evaluator(None, EvalSettings(system=SYSTEM)) as evaluator:
        yield Systems(evaluator, snapshot)
