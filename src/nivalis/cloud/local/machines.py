"""Servers as QEMU processes.

A server is a folder (its disk, over the image that it began with, and what its serial console has said), a process, and a wire
(`network`).  The firmware is SeaBIOS, the devices are virtio or emulated ones, and the serial number in SMBIOS is the server's name, by
which guests see that they are on Brightbox.  KVM is used where a guest really runs under it, which is found out by running one; else QEMU
emulates.

A process dies with this one, however that ends: the kernel kills it.  What ran is then started again from its disk by the next service.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from nivalis.cloud.errors import LocalCloudError
from nivalis.cloud.local.core import LocalCloud, MachineSpec
from nivalis.cloud.local.firewall import policy_rules
from nivalis.cloud.local.imports import find_qemu_img
from nivalis.cloud.local.metadata import answer_metadata
from nivalis.cloud.local.network import Networks, Wire, user_network_options

__all__ = ["Forward", "QemuMachines", "find_qemu", "has_kvm"]

# How long a machine may take to open its sockets, to end by itself when it is told to, and when it is asked to.
_OPENING, _ENDING, _GRACE = 300.0, 10.0, 15.0
# Ports that are opened where a rule opens all, and the most that are opened for one address.
_USUAL_PORTS = (22, 80, 443)
_MOST_PORTS = 64
# Where a port goes that is another one's, or that an ordinary user may not have.
_HIGH = 10000
# What ends a guest that does this: cli; a GDT; protected mode; iret to: mov al, 16; out 0xf4, al.
_PROBE = bytes.fromhex(
    "fa31c08ed80f01164c7c0f20c00c010f22c0ea177c080066b810008ed88ed0bc007000009c6a08682d7c0000cfb010e6f4f4ebfd"
    "0000000000000000ffff0000009acf00ffff00000092cf001700347c0000"
)
_EXIT, _PROBING = 33, 15.0


class Forward(NamedTuple):
    """A port of this machine that leads to a server."""

    protocol: str
    address: str
    wanted: int
    outgoing: int


def find_qemu() -> str:
    """Raises LocalCloudError."""
    found = shutil.which("qemu-system-x86_64")
    if found is None:
        raise LocalCloudError("there is no `qemu-system-x86_64` on this machine", hint="Debian has it in the package qemu-system-x86")
    return found


def has_kvm(qemu: str) -> bool:
    """Whether a guest runs under KVM: one of a single sector, which ends the machine with a status of its own.

    It does what every loader does and not every nested KVM can: it enters protected mode, and returns from an interrupt there.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with tempfile.NamedTemporaryFile(prefix="nivalis-kvm-") as file:
        file.write(_PROBE.ljust(510, b"\0") + b"\x55\xaa")
        file.flush()
        command = [qemu, "-accel", "kvm", "-m", "32", "-display", "none", "-nodefaults", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        command += ["-drive", f"file={file.name},format=raw,if=ide"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            return _has_ended_well(process)


def _has_ended_well(process: subprocess.Popen[bytes]) -> bool:
    """Whether the guest ends the machine; one that KVM cannot run stays, and QEMU says so."""
    assert process.stderr is not None
    said, end = b"", time.monotonic() + _PROBING
    try:
        while (left := end - time.monotonic()) > 0 and b"internal error" not in said:
            if select.select([process.stderr], [], [], left)[0]:
                piece = os.read(process.stderr.fileno(), 4096)
                if not piece:
                    return process.wait(max(left, 1)) == _EXIT
                said += piece
        return False
    except subprocess.TimeoutExpired:
        return False
    finally:
        process.kill()


class QemuMachines:
    """The machines of a cloud.  Their sockets are in a folder of their own, for a socket's name must be short."""

    def __init__(self, cloud: LocalCloud, *, accelerator: str, grace: float = _GRACE) -> None:
        self.ended: Callable[[str], object] = lambda identifier: None
        self._cloud = cloud
        self._accelerator = accelerator
        self._grace = grace
        self._qemu = find_qemu()
        left = cloud.state.recall("sockets")
        if left:
            # By a service that was killed.
            shutil.rmtree(left, ignore_errors=True)
        self._sockets = Path(cloud.state.remember("sockets", tempfile.mkdtemp(prefix="nivalis-cloud-")))
        self._networks = Networks()
        self._running: dict[str, _Machine] = {}
        self._is_closing = False

    async def create(self, spec: MachineSpec) -> None:
        folder = self._cloud.places.server(spec.id)
        folder.mkdir(mode=0o700, exist_ok=True)
        image = self._cloud.state.get(spec.image)
        command = [find_qemu_img(), "create", "-q", "-f", "qcow2", "-F", image["format"], "-b", str(self._cloud.places.images / spec.image)]
        size = max(spec.disk, image["virtual_size"])
        await _run([*command, str(folder / "disk.qcow2"), f"{size}M"])

    async def start(self, spec: MachineSpec) -> None:
        if spec.id in self._running or self._is_closing:
            return
        sockets = self._sockets / spec.id
        sockets.mkdir(exist_ok=True)
        log = open(self._cloud.places.server(spec.id) / "qemu.log", "wb")  # noqa: SIM115
        with log:
            # The kernel ends it when this process ends.
            command = ["setpriv", "--pdeathsig", "KILL", "--", self._qemu, *self._options(spec, sockets)]
            process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        state = self._cloud.state
        wire = Wire(spec, self._networks, lambda path: answer_metadata(state, state.get(spec.id), path), self._cloud.say)
        machine = self._running[spec.id] = _Machine(process, wire, sockets)
        try:
            await machine.open()
        except BaseException as error:
            await self._end(spec.id)
            if isinstance(error, (OSError, LocalCloudError)):
                text = (self._cloud.places.server(spec.id) / "qemu.log").read_text(errors="replace").strip()
                raise LocalCloudError(f"machine does not start: {text or error}") from error
            raise
        machine.watcher = asyncio.get_running_loop().create_task(self._watch(spec.id, machine))
        await self.refresh()
        await machine.monitor.execute("cont")

    async def stop(self, identifier: str) -> None:
        await self._end(identifier)

    async def press(self, identifier: str, button: str) -> None:
        machine = self._running.get(identifier)
        if machine is None:
            return
        match button:
            case "power":
                await machine.monitor.execute("system_powerdown")
            case "reset":
                await machine.monitor.execute("system_reset")
            case "keys":
                keys = [{"type": "qcode", "data": name} for name in ("ctrl", "alt", "delete")]
                await machine.monitor.execute("send-key", keys=keys)

    async def snapshot(self, identifier: str, target: str) -> None:
        machine = self._running.get(identifier)
        if machine is None:
            disk = self._cloud.places.server(identifier) / "disk.qcow2"
            await _run([find_qemu_img(), "convert", "-q", "-O", "qcow2", str(disk), target])
            return
        job = {"job-id": f"snapshot-{Path(target).name}", "auto-dismiss": False}
        await machine.monitor.execute("drive-backup", device="disk", sync="full", target=target, format="qcow2", **job)
        while True:
            (found,) = [one for one in await machine.monitor.execute("query-jobs") if one["id"] == job["job-id"]]
            if found["status"] == "concluded":
                break
            await asyncio.sleep(0.2)
        await machine.monitor.execute("job-dismiss", id=job["job-id"])
        if "error" in found:
            raise LocalCloudError(f"snapshot failed: {found['error']}")

    def is_running(self, identifier: str) -> bool:
        return identifier in self._running

    async def refresh(self) -> None:
        state = self._cloud.state
        for identifier, machine in list(self._running.items()):
            server = state.get(identifier)
            rules = policy_rules(state, server)
            if rules != machine.rules:
                machine.rules = rules
                machine.wire.firewall.set_rules(rules)
            with suppress(LocalCloudError, ConnectionError):
                await machine.forward(self._wanted(machine, server["interface"]), self._cloud.say)

    async def close(self) -> None:
        self._is_closing = True
        with suppress(LocalCloudError, ConnectionError):
            for machine in self._running.values():
                await machine.monitor.execute("system_powerdown")
        processes = [machine.process.wait() for machine in self._running.values()]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*processes), self._grace)
        for identifier in list(self._running):
            await self._end(identifier)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def forwards(self, identifier: str) -> list[tuple[Forward, int]]:
        """The ports that lead to a server, each with the one that it is on this machine."""
        machine = self._running.get(identifier)
        return [] if machine is None else list(machine.forwards.items())

    def console(self, identifier: str) -> str:
        """The socket of the serial console of a server that runs, or an empty string."""
        return str(self._sockets / identifier / "serial") if identifier in self._running else ""

    # ---- what they are made of ----

    def _options(self, spec: MachineSpec, sockets: Path) -> list[str]:
        folder = self._cloud.places.server(spec.id)
        emulated = spec.compatibility_mode
        nic, disk = ("e1000", "ide") if emulated else ("virtio-net-pci", "virtio")
        serial = f"socket,id=serial,path={sockets}/serial,server=on,wait=off,logfile={folder}/console.log,logappend=on"
        return [
            *("-name", spec.id, "-nodefaults", "-S", "-display", "none", "-vga", "std"),
            *("-machine", "pc", "-accel", self._accelerator, "-cpu", "host" if self._accelerator == "kvm" else "max"),
            *("-m", str(spec.ram), "-smp", str(spec.cores), "-rtc", "base=utc", "-boot", "order=c,strict=on"),
            *("-smbios", f"type=1,manufacturer=Brightbox,product=Cloud Server,serial={spec.fqdn}"),
            *("-drive", f"file={folder}/disk.qcow2,format=qcow2,if={disk},id=disk,discard=unmap"),
            *("-netdev", f"stream,id=nic,server=on,addr.type=unix,addr.path={sockets}/nic"),
            *("-device", f"{nic},netdev=nic,mac={spec.mac},romfile="),
            # The user network and the switch's way to it are two ports of a hub.
            *("-netdev", f"user,id=user,{user_network_options(spec)}"),
            *("-netdev", f"stream,id=up,server=on,addr.type=unix,addr.path={sockets}/up"),
            *("-netdev", "hubport,id=port0,hubid=0,netdev=user", "-netdev", "hubport,id=port1,hubid=0,netdev=up"),
            *("-chardev", serial, "-serial", "chardev:serial"),
            *("-qmp", f"unix:{sockets}/monitor,server=on,wait=off"),
            *(() if emulated else ("-device", "virtio-rng-pci")),
        ]

    def _wanted(self, machine: _Machine, interface: str) -> list[Forward]:
        """The ports that the addresses of a server and its firewall open."""
        ranges = machine.wire.firewall.open_ports(6)
        wanted = []
        for address in self._cloud.state.all("cloud_ip"):
            if address["interface"] != interface:
                continue
            ports = [port for first, last in ranges for port in (_USUAL_PORTS if last - first >= _MOST_PORTS else range(first, last + 1))]
            leads = {(port, port) for port in ports}
            leads |= {
                (one["incoming"], one["outgoing"])
                for one in address["port_translators"]
                if one["protocol"] == "tcp" and any(first <= one["outgoing"] <= last for first, last in ranges)
            }
            wanted += [Forward("tcp", address["address"], *lead) for lead in sorted(leads)[:_MOST_PORTS]]
        return wanted

    async def _watch(self, identifier: str, machine: _Machine) -> None:
        """Wait for its end."""
        await machine.process.wait()
        if self._running.get(identifier) is machine:
            del self._running[identifier]
            await machine.close()
            if not self._is_closing:
                self.ended(identifier)

    async def _end(self, identifier: str) -> None:
        machine = self._running.pop(identifier, None)
        if machine is None:
            return
        with suppress(ProcessLookupError):
            # It writes down what its disk needs to be whole.
            machine.process.terminate()
        try:
            await asyncio.wait_for(machine.process.wait(), _ENDING)
        except TimeoutError:
            with suppress(ProcessLookupError):
                machine.process.kill()
            await machine.process.wait()
        await machine.close()
        if not self._is_closing:
            self.ended(identifier)


class _Machine:
    """A process, its monitor and its wire."""

    def __init__(self, process: asyncio.subprocess.Process, wire: Wire, sockets: Path) -> None:
        self.process = process
        self.wire = wire
        self.monitor = _Monitor()
        self.rules: object = None
        self.forwards: dict[Forward, int] = {}
        self.watcher: asyncio.Task[None] | None = None
        self._sockets = sockets
        self._forwarding = asyncio.Lock()

    async def open(self) -> None:
        """Connect to all that it listens on.  Raises LocalCloudError, OSError."""
        end = asyncio.get_running_loop().time() + _OPENING
        while not all((self._sockets / name).exists() for name in ("monitor", "nic", "up")):
            if self.process.returncode is not None:
                raise LocalCloudError(f"QEMU has ended with status {self.process.returncode}")
            if asyncio.get_running_loop().time() > end:
                raise LocalCloudError(f"QEMU does not answer after {_OPENING:.0f} s")
            await asyncio.sleep(0.05)
        await self.monitor.open(str(self._sockets / "monitor"))
        await self.wire.open(str(self._sockets / "nic"), str(self._sockets / "up"))

    async def forward(self, wanted: Sequence[Forward], say: Callable[[str], object]) -> None:
        """Have these ports lead to it, and no others."""
        async with self._forwarding:
            for one in [one for one in self.forwards if one not in wanted]:
                await self.monitor.command(f"hostfwd_remove user {one.protocol}:{one.address}:{self.forwards.pop(one)}")
            for one in wanted:
                if one not in self.forwards:
                    port = await self._open_port(one)
                    if port is None:
                        say(f"port {one.wanted} of {one.address} is not free on this machine")
                    else:
                        self.forwards[one] = port

    async def _open_port(self, one: Forward) -> int | None:
        for port in (one.wanted, one.wanted + _HIGH):
            if port < 65536:
                place = f"{one.protocol}:{one.address}:{port}-{self.wire.spec.ipv4}:{one.outgoing}"
                if not (await self.monitor.command(f"hostfwd_add user {place}")).strip():
                    return port
        return None

    async def close(self) -> None:
        self.monitor.close()
        await self.wire.close()
        shutil.rmtree(self._sockets, ignore_errors=True)


class _Monitor:
    """QEMU's monitor: one command at a time, whose events are passed over."""

    def __init__(self) -> None:
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()

    async def open(self, path: str) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(path, limit=1 << 22)
        await self._reader.readline()
        await self.execute("qmp_capabilities")

    async def execute(self, command: str, **arguments: object) -> Any:
        """Raises LocalCloudError."""
        if self._reader is None or self._writer is None:
            raise LocalCloudError("machine is not running")
        async with self._turn:
            self._writer.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            while line := await self._reader.readline():
                found = json.loads(line)
                if "return" in found:
                    return found["return"]
                if "error" in found:
                    raise LocalCloudError(f"QEMU refuses `{command}`: {found['error'].get('desc')}")
        raise LocalCloudError("machine has ended")

    async def command(self, line: str) -> str:
        """What the monitor for people says to a line."""
        return str(await self.execute("human-monitor-command", **{"command-line": line}))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


async def _run(command: Sequence[str]) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise LocalCloudError(f"{Path(command[0]).name} failed: {output.decode(errors='replace').strip()}")
