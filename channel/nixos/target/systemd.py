"""The running service manager, asked and told by systemctl(1)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from .plan import Running

__all__ = ["Manager", "find_shipped"]

# The kernel's own limit.
_MOST_LINKS = 40
_FOLDERS = ("usr/lib/systemd/system", "lib/systemd/system")
# How long a started service is waited for at most, and how much of it it may work (proc_pid_stat(5)).
_REST_SECONDS = 5.0
_REST_WORK = 0.3
_PROPERTIES = "Id,Type,RefuseManualStop"


class Manager(NamedTuple):
    """The manager, by the programs of a system at `toplevel`: /usr may be another's at the moment."""

    toplevel: str

    def program(self, name: str) -> str:
        """One of systemd's programs."""
        place = f"{self.toplevel}/sw/usr/bin/{name}"
        return place if os.path.exists(place) else name

    def list_units(self) -> dict[str, Running]:
        """All units that are not at rest, with their states alone: that is one question, and `examine` one for each unit.

        Raises CalledProcessError.
        """
        text = self._ask("list-units", "--full", "--plain", "--no-legend", "--no-pager")
        found = {}
        for line in text.splitlines():
            name, _, state, detail = line.split(maxsplit=4)[:4]
            # What is started again and again has failed each time.
            found[name] = Running("failed" if detail == "auto-restart" else state)
        return found

    def examine(self, units: Mapping[str, Running], names: Collection[str]) -> dict[str, Running]:
        """The same units, of which those with these names are known in full.  Raises CalledProcessError."""
        found = dict(units)
        wanted = sorted(units.keys() & names)
        text = self._ask("show", f"--property={_PROPERTIES}", "--", *wanted) if wanted else ""
        for block in text.split("\n\n"):
            fields = dict(line.split("=", 1) for line in block.splitlines())
            if (name := fields.get("Id", "")) in found:
                found[name] = Running(units[name].state, fields.get("Type") == "oneshot", fields.get("RefuseManualStop") == "yes")
        return found

    def wait_for_rest(self, units: Collection[str]) -> None:
        """Until the processes of started services wait for something, or have ended: what fails at once has failed then."""
        names = sorted(name for name in units if name.endswith(".service"))
        deadline = time.monotonic() + _REST_SECONDS
        times = 0 if names else 2
        while times < 2 and time.monotonic() < deadline:
            processes = self._ask("show", "--value", "--property=MainPID", "--", *names, check=False).split()
            # On its way a process may wait for a moment.
            times = times + 1 if all(map(_is_at_rest, processes)) else 0
            time.sleep(0.02)

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

    def _ask(self, *words: str, check: bool = True) -> str:
        return subprocess.run([self.program("systemctl"), *words], stdout=subprocess.PIPE, text=True, errors="replace", check=check).stdout

    def _run(self, program: str, *words: str) -> int:
        return subprocess.run([self.program(program), *words], stdin=subprocess.DEVNULL, check=False).returncode


def _is_at_rest(process: str) -> bool:
    """Whether a process (`0`: there is none) does not work, or has for so long that it will go on."""
    if process == "0":
        return True
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            before, _, after = file.read().rpartition(")")
    except OSError:
        # It has ended, and the manager does not know yet.
        return False
    fields = after.split()
    ticks = int(fields[11]) + int(fields[12])
    # By a name in brackets it is still the manager's own, which becomes the service's program.
    return "((" not in before and (fields[0] not in "RDZ" or ticks > _REST_WORK * os.sysconf("SC_CLK_TCK"))


def find_shipped(system_path: str) -> Mapping[str, str]:
    """The unit files that packages bring to a farm: their places in the store, by name."""
    found: dict[str, str] = {}
    # Hundreds of files of few folders: what leads to a folder is followed once.
    real_folder = lru_cache(os.path.realpath)
    for folder in _FOLDERS:
        try:
            entries = list(os.scandir(f"{system_path}/{folder}"))
        except OSError:
            continue
        for entry in entries:
            if "." in entry.name and entry.name not in found and not entry.name.endswith((".wants", ".requires", ".d")):
                found[entry.name] = _follow(entry.path, real_folder)
    return found


def _follow(place: str, real_folder: Callable[[str], str]) -> str:
    """As `os.path.realpath`."""
    for _ in range(_MOST_LINKS):
        folder, _, name = place.rpartition("/")
        place = f"{real_folder(folder)}/{name}"
        try:
            place = os.path.join(os.path.dirname(place), os.readlink(place))
        except OSError:
            break
    return place
