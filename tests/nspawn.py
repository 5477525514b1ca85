"""Machines with the real systemd, by systemd-nspawn: what a switch does to running units is tried on these.

The root is Debian's packages unpacked into a folder of the user's cache, by the machine's own apt and with no maintainer script run; systemd-nspawn
is taken from there too.  A machine's own changes go to a file system in memory, over that root.  Whatever is missing (root, apt, control groups)
is a `NspawnError`, which says so.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from oracle import OracleError, _check_run, _find_mirror, _loader, _lock, _write_apt_root, cache_folder

__all__ = ["Machine", "NspawnError", "nspawn_root"]

RELEASE = "bookworm"
_PACKAGES = [
    *("systemd", "systemd-sysv", "systemd-container", "dbus", "libpam-systemd", "libpython3-stdlib", "python3-minimal", "procps", "iproute2"),
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "gzip", "hostname", "libc-bin", "login", "mawk", "mount"),
    *("ncurses-base", "passwd", "sed", "util-linux"),
]
_MERGED = ("bin", "sbin", "lib", "lib64")


class NspawnError(Exception):
    """No machine can be had here; the message says why."""


@functools.cache
def nspawn_root() -> Path:
    """The folder of the root, made when it is not there yet.  Raises NspawnError."""
    if os.geteuid() != 0:
        raise NspawnError("systemd-nspawn needs root")
    folder = cache_folder() / f"nspawn-{RELEASE}"
    try:
        _find_mirror()
        with _lock(cache_folder() / f"{folder.name}.lock"):
            if not folder.exists():
                _make_root(folder)
    except (OracleError, OSError, subprocess.SubprocessError) as error:
        raise NspawnError(str(error)) from None
    return folder


def _make_root(folder: Path) -> None:
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    for name in _MERGED:
        (part / "usr" / name).mkdir(parents=True)
        (part / name).symlink_to(f"usr/{name}")
    with tempfile.TemporaryDirectory(prefix="nivalis-apt-") as temporary:
        apt = _write_apt_root(Path(temporary), RELEASE)
        _check_run([*apt, "update"])
        plan = _check_run([*apt, "--simulate", "install", "--no-install-recommends", *_PACKAGES])
        archives = Path(temporary) / "debs"
        archives.mkdir()
        _check_run([*apt, "download", *(line.split()[1] for line in plan.splitlines() if line.startswith("Inst "))], cwd=archives)
        for archive in sorted(archives.glob("*.deb")):
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as tar:
                _check_run_from(tar, ["tar", "-C", str(part), "-x", "--keep-directory-symlink"])
    for name in ("passwd", "group"):
        shutil.copy(part / f"usr/share/base-passwd/{name}.master", part / "etc" / name)
    with open(part / "etc/passwd", "a") as file:
        file.write("messagebus:x:100:101::/nonexistent:/usr/sbin/nologin\n")
    with open(part / "etc/group", "a") as file:
        file.write("messagebus:x:101:\n")
    (part / "etc/machine-id").write_text("0" * 31 + "1\n")
    (part / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    (part / "etc/systemd/system/default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    part.chmod(0o755)
    part.rename(folder)


def _check_run_from(source: subprocess.Popen[bytes], argv: Sequence[str]) -> None:
    done = subprocess.run(argv, stdin=source.stdout, capture_output=True, text=True, check=False)
    if done.returncode or source.wait():
        raise OracleError(f"{' '.join(argv)}: {done.stderr}")


class Machine:
    """A machine that has come up; `binds` are (folder here, folder there), writable on both sides."""

    def __init__(self, folder: Path, binds: Sequence[tuple[Path, str]] = ()) -> None:
        root = nspawn_root()
        libraries = ":".join(str(path) for pattern in ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/systemd") for path in root.glob(pattern))
        self.log = folder / "console"
        argv = [str(_loader(root)), "--library-path", libraries, str(root / "usr/bin/systemd-nspawn")]
        argv += ["--quiet", "--register=no", "--keep-unit", "--private-network", "--volatile=overlay", f"--directory={root}", "--boot"]
        argv += [f"--bind={here}:{there}" for here, there in binds]
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                start_new_session=True,
            )
        self._leader = ""
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        """Until it has come up; how slow it is depends on who else is at work."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise NspawnError(f"systemd-nspawn ends: {self.log.read_text(errors='replace')[-2000:]}")
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            if children:
                self._leader = children[0]
                if self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"):
                    return
            time.sleep(0.2)
        raise NspawnError(f"the machine does not come up: {self.log.read_text(errors='replace')[-2000:]}")

    def command(self, *words: str) -> list[str]:
        """The argv that runs a command inside."""
        return ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--wd=/", "--", *words]

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root."""
        environment = {"PATH": "/usr/sbin:/usr/bin", "SYSTEMD_COLORS": "0"}
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment)
        assert not check or done.returncode == 0, f"{words}: {done.stderr}{done.stdout}"
        return done

    def ask(self, *words: str) -> str:
        """What a command says on stdout."""
        return self.run(*words).stdout.strip()

    def close(self) -> None:
        """Pull the plug."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        if self._leader and os.path.exists(f"/proc/{self._leader}"):
            os.kill(int(self._leader), signal.SIGKILL)
