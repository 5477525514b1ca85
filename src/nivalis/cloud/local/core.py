"""What the parts of the cloud of this machine share: its state, its machines, and what it does later.

Requests are answered at once and most work is done afterwards, as in the real cloud; `later` does that, and `resume` goes on with what a
service that ended has left.  All of it runs in one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from nivalis.cloud.local.answers import Shapes
from nivalis.cloud.local.places import Places
from nivalis.cloud.local.state import Document, State

__all__ = ["LocalCloud", "MachineSpec", "Machines"]


class MachineSpec(NamedTuple):
    """What a machine is made of.  Sizes in MB; `disk` is the least that its disk is to have."""

    id: str
    fqdn: str
    cores: int
    ram: int
    disk: int
    image: str
    mac: str
    ipv4: str
    ipv6: str
    compatibility_mode: bool = False


class Machines(Protocol):
    """Who runs servers."""

    async def create(self, spec: MachineSpec) -> None:
        """Make its disk."""

    async def start(self, spec: MachineSpec) -> None: ...

    async def stop(self, identifier: str) -> None:
        """Cut its power."""

    async def press(self, identifier: str, button: str) -> None:
        """`power` (ACPI), `reset`, or `keys` (Ctrl-Alt-Del)."""

    async def snapshot(self, identifier: str, target: str) -> None:
        """Copy its disk, as it is now, into a new file of qcow2."""

    def is_running(self, identifier: str) -> bool: ...

    async def refresh(self) -> None:
        """Firewalls or addresses have changed."""

    async def close(self) -> None:
        """End all of them."""


class LocalCloud:
    """The cloud.  `delay` is how long a change of state takes at least, in seconds; `say` writes to its log."""

    def __init__(
        self, places: Places, state: State, base: str, *, say: Callable[[str], object], delay: float = 0.5, most_user_data: int = 64 << 10
    ) -> None:
        self.places = places
        self.state = state
        self.base = base
        self.say = say
        self.delay = delay
        self.most_user_data = most_user_data
        # Where the FTP library listens, or an empty string without one.
        self.library = ""
        self.shapes = Shapes(state, base, lambda: self.library)
        self.machines: Machines
        self._tasks: set[asyncio.Task[None]] = set()

    def later(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Do it, after the delay, beside everything else."""

        async def run() -> None:
            await asyncio.sleep(self.delay)
            try:
                await work
            except Exception as error:
                self.say(f"{what}: {type(error).__name__}: {error}")

        def finish(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            # What was cancelled before it began is waited for by nobody.
            work.close()

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(finish)

    async def close(self) -> None:
        """End what goes on, machines too."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.machines.close()

    def change(self, document: Document, status: str, **fields: Any) -> Document:
        """A new status."""
        self.say(f"{document['id']} is {status}")
        return self.state.change(document["id"], status=status, **fields)

    def settle(self, document: Document, status: str, *, of: str, **fields: Any) -> bool:
        """A new status for what is still `of` another; what has been destroyed meanwhile stays that."""
        if self.state.get(document["id"])["status"] != of:
            return False
        self.change(document, status, **fields)
        return True
