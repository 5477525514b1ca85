"""`boot.py QEMU IMAGE`: starts an image in QEMU, which emulates, and ends when ssh answers in it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

# In seconds: an emulated machine on a busy one is slow, and one that never answers has to end the benchmark.
PATIENCE = 900


def main(qemu: str, image: str) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [qemu, "-accel", "tcg", "-m", "512", "-display", "none", "-no-reboot", "-serial", "null", "-monitor", "none", "-snapshot"]
    argv += ["-drive", f"file={image},format=qcow2,if=virtio", "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"]
    argv += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as machine:
        try:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline and machine.poll() is None:
                if answers(port):
                    return 0
                time.sleep(0.1)
            print("ssh does not answer", file=sys.stderr)
            return 1
        finally:
            machine.kill()


def answers(port: int) -> bool:
    """Whether the server has said its name.  QEMU takes the connection long before the guest does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
