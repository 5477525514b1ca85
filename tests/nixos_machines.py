"""Systems over a real archive, built and started: as containers by systemd-nspawn, in half a second, and by QEMU with their own kernel and initrd.

Only with a suite in NIVALIS_DEBIAN (`debian:bookworm`), since some 100 MB are fetched; a folder in NIVALIS_DEBIAN_STORE keeps them.
systemd-nspawn, which needs root, QEMU and mke2fs are the machine's own; what is missing skips.  QEMU emulates: a test that waits for it
waits for minutes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from debian_packages import Builder, make_snapshot
from nivalis.build.errors import SandboxError
from nivalis.build.sandbox import check_available
from nivalis.store import Store, StoreLayout
from nixos_systems import NIXOS

__all__ = ["Container", "Disk", "Emulated", "Factory", "open_factory"]


class Factory:
    """Builds what configurations say, in one store."""

    def __init__(self, store: Store, snapshot: Path) -> None:
        self.store = store
        self.snapshot = snapshot

    def expression(self, configuration: str) -> str:
        return f"import {NIXOS} {{ snapshot = {self.snapshot}; configuration = {configuration}; }}"

    def build(self, configuration: str, what: str = "system") -> str:
        """The path of something of a system: its toplevel, if nothing else is said."""
        return Builder(self.store, self.expression(configuration)).build(what)

    def real(self, path: str) -> Path:
        """Where a store path is on this machine."""
        return Path(self.store.real_path(path))

    def closure(self, path: str) -> list[str]:
        return sorted(self.store.database.closure([path]))


@contextmanager
def open_factory(folder: Path) -> Iterator[Factory]:
    suite = os.environ.get("NIVALIS_DEBIAN")
    if not suite:
        pytest.skip("no suite in NIVALIS_DEBIAN")
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    with Store.open(StoreLayout.under(Path(os.environ.get("NIVALIS_DEBIAN_STORE") or folder))) as store:
        yield Factory(store, Path(make_snapshot(store, suite).folder))


def _find(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"no {program} on this machine")
    return found


class Container:
    """A system that runs as a container, started by its own `init` on a root that was empty, or that has a store of its own.

    `binds` are further folders of this machine that it sees: (here, there).
    """

    def __init__(self, factory: Factory, toplevel: str, root: Path, binds: tuple[tuple[Path, str], ...] = ()) -> None:
        if os.geteuid() != 0:
            pytest.skip("systemd-nspawn needs root")
        self.root = root
        for name in ("nix/store", "usr", "etc"):
            (root / name).mkdir(parents=True, exist_ok=True)
        argv = [
            _find("systemd-nspawn"),
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--private-network",
            "--console=pipe",
            "--kill-signal=SIGRTMIN+3",
            "--timezone=off",
        ]
        store = [] if any((root / "nix/store").iterdir()) else [f"--bind={factory.store.layout.real_store_dir}:/nix/store"]
        argv += [
            f"--directory={root}",
            *store,
            *(f"--bind={here}:{there}" for here, there in binds),
        ]
        self._log = root.parent / f"{root.name}.log"
        with open(self._log, "wb") as log:
            environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
            self._process = subprocess.Popen(
                [*argv, f"{toplevel}/init"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._leader = self._wait_for_leader()
        self._wait_until_up()

    def _wait_for_leader(self) -> str:
        """The process that is the container's first."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            for child in children:
                if b"systemd\0" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return child
            assert self._process.poll() is None, self.said
            time.sleep(0.05)
        raise AssertionError(f"no systemd: {self.said}")

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + 120
        while self.run("systemctl is-system-running", check=False) not in ("running", "degraded"):
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline, self.run("systemctl list-jobs", check=False)
            time.sleep(0.1)

    @property
    def leader(self) -> int:
        """The container's first process, as this machine counts."""
        return int(self._leader)

    @property
    def said(self) -> str:
        """What was printed on its console."""
        return self._log.read_text(errors="replace")

    def run(self, script: str, check: bool = True) -> str:
        """What a script says, run by root's login shell inside."""
        command = ["nsenter", "-t", self._leader, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "/bin/bash", "-lc", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": "/root", "TERM": "dumb"}, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return (done.stdout + done.stderr).strip()

    def stop(self) -> None:
        if self._process.poll() is None:
            self.run("systemctl poweroff", check=False)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGKILL)
                self._process.wait()


class Emulated:
    """A system that runs on its own kernel in QEMU, on a disk with nothing but its closure.  A console is on the serial line.

    `disks` are further disks, files or sizes in bytes; `words` more of the kernel's command line.  The root's file system is in the whole first disk,
    or, where `table` is a script of sfdisk(8), in the one partition that this makes from 1 MiB on; `spoil` is done to it, by debugfs(8).
    """

    def __init__(
        self,
        factory: Factory,
        toplevel: str,
        folder: Path,
        disks: tuple[int | Path, ...] = (),
        words: str = "",
        table: str = "",
        spoil: str = "",
    ) -> None:
        qemu, mke2fs = _find("qemu-system-x86_64"), _find("mke2fs")
        store = folder / "root/nix/store"
        store.mkdir(parents=True)
        for path in factory.closure(toplevel):
            subprocess.run(["cp", "-a", factory.real(path), store / Path(path).name], check=True)
        image = folder / "disk"
        start = 1 << 20 if table else 0
        with open(image, "wb") as file:
            file.truncate(3 << 30)
        if table:
            subprocess.run([_find("sfdisk"), "--quiet", image], input=table, text=True, check=True)
        size = [f"{(3 << 20) - 2048}k"] if table else []
        subprocess.run([mke2fs, "-q", "-F", "-t", "ext4", "-L", "nixos", "-E", f"offset={start}", "-d", folder / "root", image, *size], check=True)
        if spoil:
            commands = folder / "commands"
            # Who has been unmounted as usual is not looked at closely.
            commands.write_text(f"{spoil}\ndirty\n")
            subprocess.run([_find("debugfs"), "-w", "-f", commands, f"{image}?offset={start}"], check=True, capture_output=True)
        shutil.rmtree(folder / "root")
        real = factory.real(toplevel)
        parameters = (real / "kernel-params").read_text()
        argv = [qemu, "-accel", "tcg", "-m", "1024", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none"]
        argv += ["-kernel", str(factory.real(os.readlink(real / "kernel"))), "-initrd", str(factory.real(os.readlink(real / "initrd")))]
        argv += ["-append", f"{parameters} init={toplevel}/init {words}", "-drive", f"file={image},format=raw,if=virtio,cache=unsafe"]
        for index, disk in enumerate(disks):
            place = disk if isinstance(disk, Path) else folder / f"disk{index}"
            if not isinstance(disk, Path):
                with open(place, "wb") as file:
                    file.truncate(disk)
            argv += ["-drive", f"file={place},format=raw,if=virtio,cache=unsafe"]
        argv += ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]
        self._agent = folder / "agent"
        for end in ("in", "out"):
            os.mkfifo(f"{self._agent}.{end}")
        argv += ["-device", "virtio-serial", "-chardev", f"pipe,id=agent,path={self._agent}"]
        argv += ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
        self._start(argv, folder / "console")

    def ask_agent(self, command: str) -> object:
        """What QEMU's agent in the guest, which runs, answers."""
        with open(f"{self._agent}.in", "w") as ask, open(f"{self._agent}.out") as answer:
            print(json.dumps({"execute": command}), file=ask, flush=True)
            return json.loads(answer.readline())["return"]

    def _start(self, argv: list[str], log: Path) -> None:
        self._log = log
        with open(log, "wb") as file:
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=file, stderr=file, start_new_session=True)
        self._count = 0
        self._heard = 0

    @property
    def said(self) -> str:
        """What is on its console, from what was last forgotten on."""
        return self._log.read_bytes()[self._heard :].decode(errors="replace").replace("\r", "")

    def forget(self) -> None:
        """Take what has been said as heard: it starts again."""
        self._heard = self._log.stat().st_size

    def wait_for(self, pattern: str, seconds: float = 600) -> re.Match[str]:
        """Until something is said on the console.  Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while (found := re.search(pattern, self.said)) is None:
            assert self._process.poll() is None, f"the machine ends: {self.said[-3000:]}"
            if time.monotonic() >= deadline:
                raise TimeoutError(f"not said: {pattern}: {self.said[-3000:]}")
            time.sleep(0.5)
        return found

    def type(self, text: str) -> None:
        """Type something on the console, and wait for nothing."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def log_in(self) -> None:
        """Until the shell of a console that root is logged in on says what it is asked and nothing else."""
        # What is typed before the shell reads, of which the terminal is told, may be thrown away by login(1).
        self.wait_for(r"root.*automatic login[\s\S]*\x1b\[\?2004h")
        self.run("export PAGER=cat SYSTEMD_COLORS=0; bind 'set enable-bracketed-paste off'; stty -echo")

    def run(self, script: str, seconds: float = 600) -> str:
        """What a script says, typed into the shell on the console."""
        self._count += 1
        mark = f"mark-{self._count}"
        # The echo of the line has the mark in quotes.
        self.type(f'echo "{mark}"":"; {{ {script}; }} 2>&1; echo "{mark}"".$?"\n')
        return self.wait_for(rf"{mark}:\n((?:.|\n)*?){mark}\.\d+", seconds)[1].strip()

    def wait_for_end(self, seconds: float = 300) -> int:
        return self._process.wait(seconds)

    def kill(self) -> None:
        """Pull the plug."""
        if self._process.poll() is None:
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


class Disk(Emulated):
    """A machine that starts from a disk as one of metal does: by the loader in its first sector, whose menu is on the serial line.

    Connections to `port` of this machine, on its loopback, are the guest's port 80.
    """

    def __init__(self, image: Path, log: Path, port: int) -> None:
        argv = [_find("qemu-system-x86_64"), "-accel", "tcg", "-m", "2048", "-display", "none", "-serial", "stdio", "-monitor", "none"]
        argv += ["-drive", f"file={image},format=raw,if=virtio,cache=writeback"]
        argv += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:80", "-device", "virtio-net-pci,netdev=net"]
        self._start(argv, log)
