"""A tiny Debian archive over HTTP on loopback, signed with a key made for it: what the tests of Debian channels update from."""

from __future__ import annotations

import hashlib
import lzma
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache

from pysequoia import Cert, SignatureMode, Tsk, sign

from fetch_server import Server

Change = Callable[[bytes], bytes]


@cache
def make_key(owner: str = "Test Archive <archive@example.org>") -> Tsk:
    """A key of its own for each owner; one for the whole run."""
    return Tsk.generate(owner)


def certificate(owner: str = "Test Archive <archive@example.org>") -> Cert:
    return make_key(owner).extract_certificate()


def stanza(name: str, version: str = "1.0-1", **fields: str) -> str:
    """A package in an index; fields in Python's spelling (`pre_depends`)."""
    architecture = fields.pop("architecture", "amd64")
    data = fields.pop("data", f"the .deb of {name} {version}").encode()
    pool = fields.pop("pool", "pool/main")
    lines = {
        "Package": name,
        "Version": version,
        "Architecture": architecture,
        "Description": f"{name} for tests",
        "Priority": "optional",
        "Section": "misc",
        "Installed-Size": "7",
        "Filename": f"{pool}/{name[0]}/{name}/{name}_{version.rpartition(':')[2]}_{architecture}.deb",
        "Size": str(len(data)),
        "SHA256": hashlib.sha256(data).hexdigest(),
        **{"-".join(part.capitalize() for part in key.split("_")): value for key, value in fields.items()},
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items()) + "\n"


@dataclass
class Archive:
    """What the server has below `root`; `publish` signs it anew."""

    server: Server
    root: str = "/debian"
    suite: str = "stable"
    codename: str = "testix"
    packages: dict[str, list[str]] = field(default_factory=dict)
    owner: str = "Test Archive <archive@example.org>"
    date: float = field(default_factory=lambda: time.time() - 3600)
    valid_until: float | None = None
    by_hash: bool = True

    @property
    def mirror(self) -> str:
        return f"{self.server.address}{self.root}"

    def publish(
        self, *, pockets: Sequence[str] = ("", "-updates", "-security"), change_release: Change = bytes, change_index: Change = bytes
    ) -> None:
        """Make the files of all pockets; the changes are made after signing, as on the way from the server."""
        for pocket in pockets:
            self._publish(pocket, change_release, change_index)

    def _publish(self, pocket: str, change_release: Change, change_index: Change) -> None:
        base = f"{self.root}/dists/{self.codename}{pocket}"
        text = "".join(self.packages.get(pocket, ())).encode()
        index = lzma.compress(text)
        path = "main/binary-amd64/Packages"
        lines = [
            f"Suite: {self.suite}{pocket}",
            f"Codename: {self.codename}{pocket}",
            f"Date: {formatdate(self.date, usegmt=True)}",
            *([f"Valid-Until: {formatdate(self.valid_until, usegmt=True)}"] if self.valid_until else []),
            *(["Acquire-By-Hash: yes"] if self.by_hash else []),
            "Architectures: amd64",
            "Components: main",
            "SHA256:",
            *(f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}" for name, data in ((path, text), (f"{path}.xz", index))),
        ]
        release = ("\n".join(lines) + "\n").encode()
        signed = sign(make_key(self.owner).signer(), release, mode=SignatureMode.CLEAR)
        self.server.files[f"{base}/InRelease"] = change_release(signed)
        self.server.files[f"{base}/{path}.xz"] = change_index(index)
        if self.by_hash:
            self.server.files[f"{base}/main/binary-amd64/by-hash/SHA256/{hashlib.sha256(index).hexdigest()}"] = change_index(index)
