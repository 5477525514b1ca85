"""The running service manager, asked and told by systemctl(1)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from .plan import Running

__all__ = ["Manager", "find_shipped"]

_FOLDERS = ("usr/lib/systemd/system", "lib/systemd/system")
_PROPERTIES = "Id,ActiveState,SubState,Type,RefuseManualStop"


class Manager(NamedTuple):
    """The manager, by the programs of a system at `toplevel`: /usr may be another's at the moment."""

    toplevel: str

    def program(self, name: str) -> str:
        """One of systemd's programs."""
        place = f"{self.toplevel}/sw/usr/bin/{name}"
        return place if os.path.exists(place) else name

    def list_units(self) -> dict[str, Running]:
        """All units that are loaded.  Raises CalledProcessError."""
        text = self._ask("show", "*", f"--property={_PROPERTIES}")
        found = {}
        for block in text.split("\n\n"):
            fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            if "Id" in fields:
                # What is started again and again has failed each time.
                state = "failed" if fields.get("SubState") == "auto-restart" else fields.get("ActiveState", "")
                found[fields["Id"]] = Running(state, fields.get("Type") == "oneshot", fields.get("RefuseManualStop") == "yes")
        return found

    def do(self, verb: str, units: Collection[str]) -> bool:
        """Have `verb` done to all of them at once, so that their order is systemd's; whether all went well."""
        return not units or self._run("systemctl", verb, "--", *sorted(units)) == 0

    def forget_failures(self, units: Collection[str]) -> None:
        """Have it forget that units have failed: those that are gone, and how often others were tried."""
        for unit in sorted(units):
            # What it has forgotten by itself is an error, and no harm.
            subprocess.run([self.program("systemctl"), "reset-failed", "--", unit], stderr=subprocess.DEVNULL, check=False)

    def reload_manager(self, *, again: bool) -> bool:
        """Have it read the unit files; `again`: start itself again, for its own program is another."""
        return self._run("systemctl", "daemon-reexec" if again else "daemon-reload") == 0

    def make_temporary_files(self) -> bool:
        """Make what tmpfiles.d(5) says."""
        # Nothing is removed: Debian has /tmp itself among what that would empty.  65 and 73 say that a line could not be applied, all others were.
        return self._run("systemd-tmpfiles", "--create", "--exclude-prefix=/dev") in (0, 65, 73)

    def show_status(self, units: Sequence[str]) -> None:
        """What systemctl has to say of some units."""
        self._run("systemctl", "status", "--no-pager", "--full", "--lines=10", "--", *units)

    def _ask(self, *words: str) -> str:
        return subprocess.run([self.program("systemctl"), *words], stdout=subprocess.PIPE, text=True, errors="replace", check=True).stdout

    def _run(self, program: str, *words: str) -> int:
        return subprocess.run([self.program(program), *words], stdin=subprocess.DEVNULL, check=False).returncode


def find_shipped(system_path: str) -> Mapping[str, str]:
    """The unit files that packages bring to a farm: their places in the store, by name."""
    found: dict[str, str] = {}
    for folder in _FOLDERS:
        try:
            entries = list(os.scandir(f"{system_path}/{folder}"))
        except OSError:
            continue
        for entry in entries:
            if "." in entry.name and not entry.name.endswith((".wants", ".requires", ".d")):
                found.setdefault(entry.name, os.path.realpath(entry.path))
    return found
