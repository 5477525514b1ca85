"""Where the tour takes place: a folder, an environment, the door to other programs, and what has to be stopped at the end.

    FOLDER/root      the store, and all that is otherwise in /nix: kept, so that the next tour fetches nothing; when it is large, garbage goes
    FOLDER/mirror    what servers asked Debian's mirrors for: kept while it is asked for
    FOLDER/home      the home of the commands: configuration, keys, what `result` leads to
    FOLDER/cloud     the cloud's; gone when the tour ends, unless its server is kept
    FOLDER/log       what every command has said

A command sees nothing of the user's own configuration.  Whatever is started ends with the tour, also when that fails or is interrupted; when
it is killed, what it leaves is stopped by the next one.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from nivalis.errors import NivalisError
from nivalis.store import Store, StoreLayout
from nivalis.store.metadata import remove_tree
from tour.show import Show

__all__ = ["CHECKOUT", "Background", "Stage", "TourError", "default_folder", "wait_until"]

CHECKOUT = Path(__file__).resolve().parent.parent
# No command of the tour takes so long on any machine that it can be taken on.
_LONGEST = 1800.0
_FOREIGN = ("NIX_", "NIVALIS_", "BRIGHTBOX_", "XDG_", "PYTHON")
_KEPT = ("NIX_SSL_CERT_FILE",)
_SHOWN = 15
# How large the store is when what this tour did not use is taken out of it, in bytes: more than two different tours have.
_LARGE = 4 << 30


class TourError(NivalisError):
    """A step of the tour did not go as it should; `where` is the place to look."""

    default_code = "tour"


def default_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nivalis/tour"


class Stage:
    """One tour's; to be entered.  Raises TourError if another tour is in the folder."""

    def __init__(self, folder: Path, show: Show) -> None:
        self.folder = folder.resolve()
        self.show = show
        self.home = self.folder / "home"
        self.root = self.folder / "root"
        self.cloud = self.folder / "cloud"
        self.logs = self.folder / "log"
        self.environment = self._make_environment()
        self.keeps_cloud = False
        self._closing = ExitStack()
        self._count = 0

    def __enter__(self) -> Stage:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self._closing.enter_context(open(self.folder / "lock", "w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._closing.close()
            raise TourError("another tour is going on", where=str(self.folder), hint="`--folder` gives this one a place of its own") from None
        self.stop_cloud()
        for place in (self.home, self.cloud, self.logs):
            shutil.rmtree(place, ignore_errors=True)
        for place in (self.home / "nix", self.root, self.logs):
            place.mkdir(parents=True, exist_ok=True)
        # What something was built with is kept as long as that.
        (self.home / "nix/nix.conf").write_text("sandbox = true\nkeep-outputs = true\n")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self.keeps_cloud:
            self._closing.callback(self.stop_cloud)
        self._closing.close()
        # What has failed is left to be looked at.
        if error is None and not self.keeps_cloud:
            shutil.rmtree(self.cloud, ignore_errors=True)

    def at_end(self, work: Callable[[], object]) -> None:
        """Have this done when the tour ends, before what was said earlier."""
        self._closing.callback(work)

    def collect(self) -> None:
        """Take out of a large store what this tour did not use.  Raises NivalisError."""
        with Store.open(StoreLayout.under(self.root)) as store:
            size = sum(info.nar_size for info in store.database.infos(store.database.all_valid()).values())
        if size > _LARGE:
            with self.show.waiting("removing what earlier tours have left"):
                self.run("nix-collect-garbage", "-d", shown="")

    def clean(self) -> int:
        """Remove all that tours keep, which `rm` cannot where folders are read-only; how many bytes that freed.  Raises OSError."""
        return sum(remove_tree(str(self.folder / name)) for name in ("root", "mirror", "home", "cloud", "log"))

    def stop_cloud(self) -> None:
        """Stop the cloud and its servers, if there are any."""
        if (self.cloud / "service.json").exists():
            subprocess.run(["nivalis", "cloud", "local", "stop"], env=self.environment, cwd=self.folder, capture_output=True, check=False)

    def _make_environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_FOREIGN)}
        loopback = "127.0.0.1,localhost"
        return {
            **own,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            "HOME": str(self.home),
            "USER": pwd.getpwuid(os.geteuid()).pw_name,
            "NIX_REMOTE": f"local?root={self.root}",
            "NIX_CONF_DIR": str(self.home / "nix"),
            "NIVALIS_CLOUD": str(self.cloud),
            "no_proxy": f"{os.environ['no_proxy']},{loopback}" if os.environ.get("no_proxy") else loopback,
        }

    # ---- programs ----

    def run(
        self,
        *words: str | Path,
        shown: str | None = None,
        script: str = "",
        deadline: float = _LONGEST,
        is_good: Callable[[int], bool] = lambda status: status == 0,
        environment: dict[str, str] | None = None,
    ) -> Background:
        """Run a command to its end; what it says goes to its log, and its last line is shown meanwhile.

        `shown` is how it is shown, if not as it is; "" for not at all.  `script` is its standard input.  Raises TourError.
        """
        argv = [str(word) for word in words]
        text = shlex.join(argv) if shown is None else shown
        if text:
            self.show.command(text)
        if not text:
            background = self.begin(*argv, script=script, environment=environment)
            background.wait(deadline, is_good)
            return background
        with self.show.waiting(text.splitlines()[-1]):
            background = self.begin(*argv, shown=text, script=script, environment=environment, listen=self.show.progress)
            background.wait(deadline, is_good)
        return background

    def begin(
        self,
        *words: str,
        shown: str = "",
        script: str = "",
        environment: dict[str, str] | None = None,
        listen: Callable[[str], object] = lambda line: None,
    ) -> Background:
        """Begin a command, which is ended with the tour if it has not ended by then; `listen` is told each line that it says."""
        self._count += 1
        log = self.logs / f"{self._count:02}-{Path(words[0]).name}"
        begun = Background(words, shown or shlex.join(words), log, {**self.environment, **(environment or {})}, self.home, script, listen)
        self.at_end(begun.stop)
        return begun


class Background:
    """A command that runs; `shown` is it as it can be typed, without secrets."""

    def __init__(
        self, words: Sequence[str], shown: str, log: Path, environment: dict[str, str], folder: Path, script: str, listen: Callable[[str], object]
    ) -> None:
        self.log = log
        self._shown = shown
        self._output: list[str] = []
        self._said: list[str] = []
        self._listen = listen
        log.write_text(f"$ {shown}\n{script}")
        self._file = open(log, "a", buffering=1, encoding="utf-8", errors="replace")  # noqa: SIM115
        # The kernel ends it should this process be killed.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *words],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE if script else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._threads = [
            threading.Thread(target=self._read, args=(stream, kept), daemon=True)
            for stream, kept in ((self._process.stdout, self._output), (self._process.stderr, None))
        ]
        for thread in self._threads:
            thread.start()
        if script and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(script)
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def _read(self, stream: IO[str] | None, kept: list[str] | None) -> None:
        assert stream is not None
        with stream:
            for line in stream:
                self._file.write(line)
                self._said.append(line)
                if kept is not None:
                    kept.append(line)
                self._listen(line)

    @property
    def said(self) -> str:
        """All that it has said so far, on both streams."""
        return "".join(list(self._said))

    @property
    def output(self) -> str:
        """What it has said so far on standard output."""
        return "".join(list(self._output))

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self, deadline: float = _LONGEST, is_good: Callable[[int], bool] = lambda status: status == 0) -> None:
        """Wait for its end.  Raises TourError if that is not good."""
        try:
            status = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.stop()
            raise self._error(f"command does not end in {deadline:.0f} s") from None
        # What it has started and left may hold the pipes.
        for thread in self._threads:
            thread.join(10)
        if not is_good(status):
            raise self._error(f"command fails with status {status}")

    def _error(self, what: str) -> TourError:
        lines = self.said.splitlines()[-_SHOWN:]
        return TourError("\n".join([f"{what}: `{self._shown}`", *(f"  {line}" for line in lines)]), where=str(self.log))

    def stop(self) -> None:
        """End it, if it has not ended, and whatever it has started."""
        if not self.has_ended:
            for number, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 20.0)):
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
                    break
        for thread in self._threads:
            thread.join(1)
        if not self._file.closed and not any(thread.is_alive() for thread in self._threads):
            self._file.close()


def wait_until(condition: Callable[[], bool], deadline: float, pause: float = 0.5) -> bool:
    """Ask until it is so; whether it was in time."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
