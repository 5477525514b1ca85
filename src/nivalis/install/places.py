"""Where the parts of an installation are: the machine's, below /usr/local, or a user's, below ~/.local.

    PREFIX/lib/nivalis/                  its own folder
        manifest.json                    what there is outside this folder
        versions/<id>/                   virtual environments, each with the wheel that it was made of, completions, profile.sh
        current -> versions/<id>         the one in use; to replace this link is the upgrade
    PREFIX/bin/<command>                 links to current/bin
    PREFIX/share/…                       links to completions for shells

The store is in /nix, or for a user where CppNix looks for it too when it may not write there: ~/.local/share/nix/root.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nivalis.settings.files import configuration_dir, configuration_files

__all__ = ["COMPLETIONS", "Places"]

# Where each shell looks for completions below a prefix's `share`.
COMPLETIONS = {
    "bash": "bash-completion/completions/nivalis",
    "zsh": "zsh/site-functions/_nivalis",
    "fish": "fish/vendor_completions.d/nivalis.fish",
}


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one installation.

    `configuration` is the file that names the store, `login_scripts` are those that get a line which reads our profile.sh (the machine's
    installation has a link in /etc/profile.d), and `cache` is the user's folder of what can be made again.
    """

    prefix: Path
    is_system: bool
    home: Path
    configuration: Path
    login_scripts: tuple[Path, ...]
    default_store: str
    cache: Path

    @classmethod
    def find(cls, prefix: str | None, environment: Mapping[str, str], *, is_system: bool) -> Places:
        """The machine's places or a user's; `prefix` in place of the usual one."""
        home = Path(environment.get("HOME") or "/")
        cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "nivalis"
        if is_system:
            configuration = Path(configuration_dir(environment)) / "nix.conf"
            return cls(Path(prefix or "/usr/local").absolute(), True, home, configuration, (), "local", cache)
        # A shell reads the first that it finds of its own, so what exists gets the line, and ~/.profile in any case.
        scripts = [home / ".profile", *(place for name in (".bash_profile", ".bash_login", ".zprofile") if (place := home / name).exists())]
        data = Path(environment.get("XDG_DATA_HOME") or home / ".local/share")
        # The user's own file is read last; there is none where the environment says so.
        files = configuration_files(environment)[1:] or [f"{home}/.config/nix/nix.conf"]
        return cls(Path(prefix or home / ".local").absolute(), False, home, Path(files[-1]), tuple(scripts), str(data / "nix/root"), cache)

    @property
    def lib(self) -> Path:
        return self.prefix / "lib/nivalis"

    @property
    def manifest(self) -> Path:
        return self.lib / "manifest.json"

    @property
    def versions(self) -> Path:
        return self.lib / "versions"

    @property
    def current(self) -> Path:
        return self.lib / "current"

    @property
    def bin(self) -> Path:
        return self.prefix / "bin"

    def completion(self, shell: str) -> Path:
        return self.prefix / "share" / COMPLETIONS[shell]

    def find_current(self) -> Path | None:
        """The virtual environment in use."""
        try:
            return self.lib / os.readlink(self.current)
        except OSError:
            return None
