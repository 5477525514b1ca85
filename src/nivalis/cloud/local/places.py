"""Where the cloud of this machine keeps things."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Places"]


@dataclass(frozen=True, slots=True)
class Places:
    """All is below `folder`, which is the user's alone."""

    folder: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Places:
        """NIVALIS_CLOUD names another folder than `nivalis/cloud` below XDG_DATA_HOME."""
        named = environment.get("NIVALIS_CLOUD")
        if named:
            return cls(Path(named))
        home = Path(environment.get("HOME") or os.path.expanduser("~"))
        return cls(Path(environment.get("XDG_DATA_HOME") or home / ".local/share") / "nivalis/cloud")

    @property
    def database(self) -> Path:
        return self.folder / "state.sqlite"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def service(self) -> Path:
        """What a running service says of itself, as JSON."""
        return self.folder / "service.json"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @property
    def orbit(self) -> Path:
        return self.folder / "orbit"

    @property
    def incoming(self) -> Path:
        return self.folder / "library/incoming"

    def server(self, identifier: str) -> Path:
        return self.folder / "servers" / identifier

    def console(self, identifier: str) -> Path:
        """What the server has said on its serial console."""
        return self.server(identifier) / "console.log"

    def make(self) -> None:
        for folder in (self.folder, self.images, self.orbit, self.incoming, self.folder / "servers"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
