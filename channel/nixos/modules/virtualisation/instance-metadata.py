"""Root's keys, the host's name and the user's data, from a cloud's metadata service: `instance-metadata.py ADDRESS SECONDS name|""`.

The service answers plain HTTP below `/latest/meta-data/`.  `public-keys/` lists `0=name` lines; some servers list nothing there and yet have
`0/openssh-key`, so numbers are tried too.  What was fetched once for an instance is not fetched again: whoever removes a key on the machine
does not get it back by a restart.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
import time
import urllib.error
import urllib.request

STATE = "/var/lib/nixos/instance-id"
KEYS = "/root/.ssh/authorized_keys"
DATA = "/etc/ec2-metadata"
# At most so much of an answer is read, in bytes: user data are 64 KiB by the clouds' own rules.
LIMIT = 1 << 20
MANY_KEYS = 100


class Service:
    def __init__(self, address: str, patience: float) -> None:
        self._address = address.rstrip("/")
        self._deadline = time.monotonic() + patience
        # What the machine is told to use for the world is not on the way to its own host.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str) -> bytes | None:
        """An answer; None where there is nothing.  Asked until the service answers; raises OSError when it has not in time."""
        pause = 0.2
        while True:
            try:
                with self._opener.open(f"{self._address}/latest/{path}", timeout=5) as answer:
                    data: bytes = answer.read(LIMIT)
                    return data
            except urllib.error.HTTPError as error:
                if error.code in (404, 410):
                    return None
                problem: Exception = error
            except (OSError, http.client.HTTPException) as error:
                problem = error
            if time.monotonic() > self._deadline:
                raise OSError(f"{self._address} does not answer: {problem}")
            time.sleep(pause)
            pause = min(pause * 1.5, 3)

    def keys(self) -> list[str]:
        """All public keys, in the service's order."""
        listed = (self.get("meta-data/public-keys/") or b"").decode("utf-8", "replace").split()
        numbers = [line.partition("=")[0] for line in listed if line.partition("=")[0].isdigit()]
        found = []
        for number in numbers or map(str, range(MANY_KEYS)):
            answer = self.get(f"meta-data/public-keys/{number}/openssh-key")
            if answer is None and not numbers:
                break
            found += [line.strip() for line in (answer or b"").decode("utf-8", "replace").splitlines() if line.strip()]
        return found


def main(address: str, patience: str, wants_name: str) -> None:
    service = Service(address, float(patience))
    instance = (service.get("meta-data/instance-id") or b"").decode("ascii", "replace").strip()
    if wants_name and (name := (service.get("meta-data/hostname") or b"").decode("ascii", "replace").strip()):
        short = name.partition(".")[0]
        write("/etc/hostname", f"{short}\n".encode(), 0o644)
        socket.sethostname(short)
    if instance and read(STATE).decode().strip() == instance:
        return
    for name in ("hostname", "local-hostname", "instance-id", "instance-type", "local-ipv4", "placement/availability-zone"):
        if (data := service.get(f"meta-data/{name}")) is not None:
            write(f"{DATA}/{os.path.basename(name)}", data, 0o644)
    if (data := service.get("user-data")) is not None:
        # It may hold secrets.
        write(f"{DATA}/user-data", data, 0o600)
    add_keys(service.keys())
    write(STATE, f"{instance}\n".encode(), 0o644)


def add_keys(keys: list[str]) -> None:
    there = read(KEYS).decode("utf-8", "surrogateescape").splitlines()
    new = [key for key in dict.fromkeys(keys) if key not in there]
    if new:
        os.makedirs(os.path.dirname(KEYS), mode=0o700, exist_ok=True)
        write(KEYS, "".join(f"{line}\n" for line in [*there, *new]).encode("utf-8", "surrogateescape"), 0o600)
    print(f"{len(new)} keys may log in as root now", flush=True)


def read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def write(path: str, data: bytes, mode: int) -> None:
    """Have a file with these bytes, all or none, even if the power goes."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.new"
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(part, path)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
