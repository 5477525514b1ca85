"""One build: from a derivation whose inputs are valid to outputs that are valid, or an error.

The order is what keeps a store sound: temporary roots, the locks of all outputs, the question whether they are valid by now, the
build in a private store folder, the checks, the renaming into place, and last the registration of all outputs in one transaction.
Whoever is killed in between leaves garbage: a private folder named `<derivation>.chroot`, which collectors spare only as long as
its derivation is in use and the next attempt removes; a room of the `Mounter`, which collectors remove; or outputs that are not valid,
which are removed as soon as their locks are had again.

Without the sandbox a builder writes to the outputs' real places, so a store must be where its paths say; and an output that is
valid already cannot be built again.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from nivalis._native import Hash, hash_nar
from nivalis.build.errors import (
    BuildError,
    BuildStoppedError,
    BuildTimeoutError,
    CannotBuildError,
    HashMismatchError,
    NotDeterministicError,
    SandboxError,
)
from nivalis.build.events import BuildFinished, BuildLine, BuildStarted, Listener, Waiting
from nivalis.build.locks import hold_locks
from nivalis.build.log import BuildLog
from nivalis.build.options import DerivationOptions
from nivalis.build.outputs import Produced, check_output_conditions, inspect_outputs
from nivalis.build.settings import BuildSettings, Mode
from nivalis.errors import StoreContentError
from nivalis.store.database import PathInfo, Registration
from nivalis.store.derivation import Derivation
from nivalis.store.logs import log_place
from nivalis.store.metadata import remove_tree
from nivalis.store.paths import base_name
from nivalis.store.store import Store

if TYPE_CHECKING:
    from nivalis.build import sandbox
    from nivalis.build.mounter import Mounter, Started
    from nivalis.build.process import Ended, Process
    from nivalis.build.users import BuildUser
    from nivalis.cache.keys import SecretKey

__all__ = ["Job"]

_LOCK_PAUSE = 0.1
# What bubblewrap takes, less what is said beside the view.
_MOST_ARGUMENTS = 8900


class Job:
    """A build of one derivation.  `is_stopped` says that it is to be given up; `program` is bubblewrap, None without a sandbox.

    `mounter` starts it, and has to be given with it.  Until `take_turn` lets it, the builder does not run; what can be ready is by then.

    In mode `check` outputs that are valid are built again and compared, in mode `repair` those that are damaged are replaced.
    """

    def __init__(
        self,
        store: Store,
        drv_path: str,
        derivation: Derivation,
        settings: BuildSettings,
        *,
        listen: Listener,
        is_stopped: Callable[[], bool],
        program: str | None = None,
        mounter: Mounter | None = None,
        take_turn: Callable[[], AbstractContextManager[object]] = nullcontext,
        mode: Mode = "normal",
    ) -> None:
        self._store = store
        self._drv_path = drv_path
        self._derivation = derivation
        self._settings = settings
        self._listen = listen
        self._is_stopped = is_stopped
        self._program = program
        self._mounter = mounter
        self._take_turn = take_turn
        self._started = 0.0
        self._mode = mode
        self._options = DerivationOptions(derivation)
        self._paths = {name: str(output.path) for name, output in derivation.outputs.items()}
        self._told = False
        self._keys: list[SecretKey] = []

    def run(self) -> None:
        """Build.  Raises BuildError and the store's errors."""
        self._check_possible()
        # Before anything is built: a key that cannot be read would be a build in vain.
        self._keys = self._read_keys()
        store = self._store
        store.protect([self._drv_path, *self._paths.values()])
        with hold_locks((store.real_path(path) for path in self._paths.values()), self._wait):
            valid = store.valid_among(self._paths.values())
            if self._mode == "normal" and len(valid) == len(self._paths):
                self._listen(BuildFinished(self._drv_path, tuple(self._paths.values()), 0))
                return
            for path in set(self._paths.values()) - valid:
                remove_tree(store.real_path(path))
            self._build(valid)
            self._listen(BuildFinished(self._drv_path, tuple(self._paths.values()), time.monotonic() - self._started))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The time in which the builder runs."""
        with self._take_turn():
            self._started = time.monotonic()
            self._listen(BuildStarted(self._drv_path))
            yield

    def _wait(self) -> None:
        if not self._told:
            self._told = True
            self._listen(Waiting(self._drv_path))
        if self._is_stopped():
            raise BuildStoppedError(f"build given up: `{self._drv_path}`")
        time.sleep(_LOCK_PAUSE)

    def _check_possible(self) -> None:
        derivation, settings = self._derivation, self._settings
        if any(output.path is None for output in derivation.outputs.values()):
            raise CannotBuildError(f"content-addressed outputs are not supported: `{self._drv_path}`")
        if derivation.platform not in settings.platforms:
            raise _elsewhere(
                f"a `{derivation.platform}` is needed to build it, and this is a `{settings.system}`: `{self._drv_path}`",
                "the setting `extra-platforms` names what else this machine can run",
            )
        missing = sorted(self._options.required_features - settings.system_features)
        if missing:
            raise _elsewhere(
                f"this machine lacks the feature `{missing[0]}` that is needed to build it: `{self._drv_path}`",
                "the setting `system-features` names what this machine has",
            )
        if self._options.usr_farm is not None and self._program is None:
            raise SandboxError(
                f"it is built in a /usr of its own, which only the sandbox has: `{self._drv_path}`", hint="`--option sandbox true` builds in it"
            )

    # ---- the build ----

    def _build(self, valid: set[str]) -> None:
        # What only a builder's process needs is loaded for one: a job of another kind has none, and may be all that a short program does.
        import json

        from nivalis.build import builtin_builders, sandbox
        from nivalis.build.environment import make_environment
        from nivalis.build.mounter import MARK, WORTHWHILE
        from nivalis.build.process import Program

        store, settings = self._store, self._settings
        derivation = self._derivation
        if self._program is None and valid:
            raise SandboxError("an output that is valid already can only be built again in the sandbox", where=self._drv_path)
        inputs = self._find_inputs()
        is_builtin = derivation.builder.startswith(builtin_builders.PREFIX)
        support, own = self._find_support() if is_builtin else ([], set())
        shown = inputs | own
        with ExitStack() as stack:
            user = self._take_user(stack, support)
            build_dir = stack.enter_context(self._build_folder(user))
            seen_dir = settings.sandbox_build_dir if self._program is not None else build_dir
            environment = make_environment(store, derivation, self._options, inputs, settings, seen_dir)
            command = [environment.builder, *environment.args]
            variables = environment.variables
            files = environment.files
            if is_builtin:
                command = builtin_builders.command(environment.builder, self._paths.get("out", ""), f"{seen_dir}/.variables.json")
                told = builtin_builders.configured_variables(environment.builder, settings.environment) if derivation.is_fixed_output else {}
                text = json.dumps({**variables, **told}, ensure_ascii=False)
                files = {**files, ".variables.json": text.encode("utf-8", "surrogateescape")}
                variables = builtin_builders.variables()
            _write_files(build_dir, files, user)
            if self._program is None:
                places = {name: store.real_path(path) for name, path in self._paths.items()}
                stack.callback(self._remove_invalid)
                stack.enter_context(self._turn())
                ids = None if user is None else (user.uid, user.gid)
                ended, log = self._run(lambda terminal: Program(command, variables, build_dir, terminal, ids), command[0], user)
            else:
                start = len(store.store_dir) + 1
                extra = [] if is_builtin else sandbox.existing(settings.sandbox_paths)
                # What bubblewrap itself mounts in the store would be below.
                is_apart = not any(inside.startswith(f"{store.store_dir}/") for inside, _ in extra)
                mounted = [path[start:] for path in shown] if is_apart and len(shown) >= WORTHWHILE else []
                if mounted:
                    assert self._mounter is not None
                    room = stack.enter_context(self._mounter.room(store, mounted, None if user is None else (user.uid, user.gid)))
                else:
                    room = stack.enter_context(self._room(user))
                network = derivation.is_fixed_output
                view = sandbox.Sandbox(
                    store_dir=store.store_dir,
                    private_store=f"{room}/store",
                    inputs={} if mounted else {path: store.real_path(path) for path in shown},
                    build_dir=build_dir,
                    build_dir_inside=seen_dir,
                    etc=sandbox.make_etc(seen_dir, network=network),
                    tmp=f"{room}/tmp",
                    extra=extra,
                    support=support,
                    mark=MARK,
                    farm=self._find_farm(inputs),
                    kvm="kvm" in settings.system_features and "kvm" in self._options.required_features,
                    environment=variables,
                )
                places = {name: f"{room}/store/{base_name(path)}" for name, path in self._paths.items()}
                ended, log = self._run_inside(view, mounted, command, user, network=network)
            self._check_ended(ended, log)
            owner = os.geteuid() if user is None else user.uid
            try:
                produced = inspect_outputs(self._drv_path, derivation, self._options, places, inputs, store.store_dir, owner)
            except HashMismatchError as error:
                self._keep_mismatched(error)
                raise
            check_output_conditions(store, self._drv_path, derivation, self._options, produced)
            self._accept(produced, valid)

    def _find_inputs(self) -> set[str]:
        """The closure of what the derivation is built from."""
        wanted = set(self._derivation.input_srcs)
        outputs = self._store.database.outputs_among(self._derivation.input_drvs)
        for drv_path, names in self._derivation.input_drvs.items():
            wanted |= {outputs[drv_path][name] for name in names}
        self._store.protect(wanted)
        return self._store.database.closure(wanted)

    def _find_support(self) -> tuple[list[str], set[str]]:
        """What a builtin builder's process needs of this machine: places outside the store, and store paths, where Python or we are in it."""
        from nivalis.build import builtin_builders

        store_dir = self._store.store_dir
        found = builtin_builders.support_paths()
        inside = {place for place in found if place.startswith(f"{store_dir}/")}
        paths = self._store.valid_among({"/".join(place.split("/")[: store_dir.count("/") + 2]) for place in inside})
        return [place for place in found if place not in inside], self._store.database.closure(paths)

    def _find_farm(self, inputs: Collection[str]) -> tuple[str, str] | None:
        """The tree that is to be /usr, and where it really is."""
        farm = self._options.usr_farm
        if farm is None:
            return None
        place = self._store.real_path(farm) if farm in inputs else ""
        # Not by way of links: one could lead out of the store, into this machine.
        if not place or os.path.islink(place) or os.path.islink(f"{place}/usr") or not os.path.isdir(f"{place}/usr"):
            raise CannotBuildError(f"`usrFarm` names no input that has a folder `usr`: `{farm}`")
        return farm, place

    def _take_user(self, stack: ExitStack, support: Sequence[str]) -> BuildUser | None:
        from nivalis.build.users import can_reach, take_user

        settings, layout = self._settings, self._store.layout
        user = take_user(settings.build_users_group, layout.state_dir)
        if user is None:
            return None
        stack.callback(user.release)
        # In the sandbox a build is harmless without one, too.
        if self._program is not None:
            places = [f"{layout.real_store_dir}/x", f"{settings.build_dir}/x", *support, *(outside for _, outside in settings.sandbox_paths)]
            if not can_reach(user, places):
                return None
        return user

    @contextmanager
    def _build_folder(self, user: BuildUser | None) -> Iterator[str]:
        name = f"nix-build-{base_name(self._drv_path)[33:]}"
        os.makedirs(self._settings.build_dir, exist_ok=True)
        number = 0
        while True:
            folder = f"{os.path.realpath(self._settings.build_dir)}/{name}-{number}"
            try:
                os.mkdir(folder, 0o700)
                break
            except FileExistsError:
                number += 1
        if user is not None:
            os.chown(folder, user.uid, user.gid)
        try:
            yield folder
        except BuildError as error:
            if self._settings.keep_failed and not isinstance(error, BuildStoppedError):
                _give_back(folder)
                error.hint = f"the build folder is kept: `{folder}`" if error.hint is None else f"{error.hint}; the build folder is kept: `{folder}`"
            else:
                remove_tree(folder)
            raise
        except BaseException:
            remove_tree(folder)
            raise
        else:
            remove_tree(folder)

    @contextmanager
    def _room(self, user: BuildUser | None) -> Iterator[str]:
        """The folder beside the store's objects in which the build has its view of the store."""
        room = f"{self._store.real_path(self._drv_path)}.chroot"
        remove_tree(room)
        os.mkdir(room, 0o700)
        try:
            for folder, mode in ((f"{room}/store", 0o755), (f"{room}/tmp", 0o1777)):
                os.mkdir(folder)
                os.chmod(folder, mode)
                if user is not None:
                    os.chown(folder, user.uid, user.gid)
            if user is not None:
                os.chown(room, user.uid, user.gid)
            yield room
        finally:
            remove_tree(room)

    def _run_inside(
        self, view: sandbox.Sandbox, mounted: Sequence[str], command: Sequence[str], user: BuildUser | None, *, network: bool
    ) -> tuple[Ended, tuple[str, ...]]:
        from nivalis.build.process import file_of, with_ends
        from nivalis.build.syscalls import make_filter

        program, mounter = self._program, self._mounter
        assert program is not None and mounter is not None
        with ExitStack() as stack:
            # By their numbers in bubblewrap.
            descriptors: dict[int, int] = {}

            def give(descriptor: int) -> int:
                number = 3 + len(descriptors)
                descriptors[number] = descriptor
                return number

            def give_file(data: bytes) -> int:
                return give(stack.enter_context(file_of(data)))

            gate = os.pipe()
            for descriptor in gate:
                stack.callback(os.close, descriptor)
            words = view.arguments({name: give_file(data) for name, data in view.etc.items()})
            if len(words) > _MOST_ARGUMENTS:
                message = f"too many variables with names in capitals for the sandbox: {len(view.environment) - len(view.inherited())}"
                raise SandboxError(message, where=self._drv_path, hint="`__structuredAttrs = true` passes attributes by a file")
            info = 3 + len(descriptors) + 3
            words = ["--seccomp", str(give_file(make_filter())), "--block-fd", str(give(gate[0])), "--info-fd", str(info), *words]
            # By a file, since no command line is long enough for the variables of a large build.
            argv = [program, "--args", str(give_file(with_ends(words))), "--", *command]
            if self._derivation.platform == "i686-linux" and self._settings.system == "x86_64-linux":
                argv = ["setarch", "i686", "--", *argv]

            def start(terminal: int) -> Started:
                started = mounter.start(
                    argv,
                    {"PATH": os.defpath, **view.inherited()},
                    {1: terminal, 2: terminal, **descriptors},
                    info,
                    gate[1],
                    folder=view.private_store,
                    seen_at=view.store_dir,
                    source=str(self._store.layout.real_store_dir),
                    names=mounted,
                    network=network,
                    adds_devices=view.adds_devices,
                    user=None if user is None else (user.uid, user.gid),
                )
                try:
                    trouble = started.await_ready()
                    if trouble is not None:
                        raise SandboxError(f"inputs cannot be mounted: {trouble}", where=self._drv_path)
                    if not started.has_ended:
                        stack.enter_context(self._turn())
                        os.write(gate[1], b"1")
                except BaseException:
                    started.end()
                    raise
                return started

            return self._run(start, program, user)

    def _run(self, start: Callable[[int], Process], program: str, user: BuildUser | None) -> tuple[Ended, tuple[str, ...]]:
        from nivalis.build.process import run_process

        settings = self._settings
        place = log_place(self._store.layout, self._drv_path) if settings.keep_log else None
        with BuildLog(place, compress=settings.compress_log, lines=settings.log_lines) as log:

            def take(data: bytes) -> int:
                for line in log.write(data):
                    self._listen(BuildLine(self._drv_path, line))
                return log.size

            try:
                ended = run_process(
                    start,
                    on_output=take,
                    is_stopped=self._is_stopped,
                    user=None if user is None else (user.uid, user.gid),
                    timeout=settings.timeout,
                    max_silent_time=settings.max_silent_time,
                    max_log_size=settings.max_build_log_size,
                )
            except OSError as error:
                raise BuildError(f"builder cannot be started: {error.strerror}: `{program}`", where=self._drv_path) from error
            for line in log.close():
                self._listen(BuildLine(self._drv_path, line))
            return ended, tuple(log.tail) if settings.log_lines else ()

    def _check_ended(self, ended: Ended, tail: tuple[str, ...]) -> None:
        if ended.reason == "stopped":
            raise BuildStoppedError(f"build given up: `{self._drv_path}`")
        if ended.reason == "exited" and ended.status == 0:
            return
        settings = self._settings
        error: BuildError
        if ended.reason == "timeout":
            error = BuildTimeoutError(f"build timed out after {settings.timeout} seconds: `{self._drv_path}`")
        elif ended.reason == "silent":
            error = BuildTimeoutError(f"build timed out after {settings.max_silent_time} seconds of silence: `{self._drv_path}`", code="build-silent")
        elif ended.reason == "log-size":
            message = f"build killed after writing more than {settings.max_build_log_size} bytes of log: `{self._drv_path}`"
            error = BuildTimeoutError(message, code="build-log-too-long")
            error.status_bits = 0
        elif ended.status < 0:
            error = BuildError(f"builder was killed by signal {-ended.status}: `{self._drv_path}`")
        elif ended.status > 128 and self._program is not None:
            # So bubblewrap reports a signal.
            error = BuildError(f"builder failed with exit code {ended.status} (as of signal {ended.status - 128}): `{self._drv_path}`")
        else:
            error = BuildError(f"builder failed with exit code {ended.status}: `{self._drv_path}`")
        error.tail = tail
        is_full = _free_space(settings.build_dir, str(self._store.layout.real_store_dir)) < 8 * 1024 * 1024
        if ended.reason == "exited" and (is_full or self._derivation.is_fixed_output):
            # The next attempt may find more room, or the server.
            error.status_bits = 0
        if settings.keep_log:
            error.hint = f"`nivalis log {self._drv_path}` shows the whole log"
        builder = self._derivation.builder
        if self._program is not None and builder.startswith("/") and not self._is_seen(builder):
            error.hint = (
                f"the sandbox has no `{builder}`; the setting `sandbox-paths` adds it, and a static shell (package busybox-static) is its `/bin/sh`"
            )
        if is_full:
            error.hint = f"the disk is full{'; ' + error.hint if error.hint else ''}"
        raise error

    def _is_seen(self, place: str) -> bool:
        shown = [self._store.store_dir, *(inside for inside, _ in self._settings.sandbox_paths)]
        return any(place == inside or place.startswith(f"{inside}/") for inside in shown)

    # ---- the outputs ----

    def _accept(self, produced: Sequence[Produced], valid: Collection[str]) -> None:
        """Do with outputs what the mode says; `valid` are the paths that were before."""
        if self._mode == "check":
            self._compare(produced)
        elif self._mode == "repair":
            self._repair(produced)
        else:
            self._keep([one for one in produced if one.path not in valid])

    def _keep(self, produced: Sequence[Produced]) -> None:
        store = self._store
        for one in produced:
            place = store.real_path(one.path)
            if one.place != place:
                remove_tree(place)
                _move(one.place, place)
        self._register(
            [PathInfo(one.path, one.nar_hash, one.nar_size, one.references, deriver=self._drv_path, ultimate=True, ca=one.ca) for one in produced]
        )

    def _register(self, infos: Iterable[PathInfo]) -> None:
        """Make outputs valid, signed as the settings say."""
        if self._keys:
            from nivalis.cache.sign import sign_info

            infos = [sign_info(info, self._store.store_dir, self._keys) for info in infos]
        self._store.database.register(list(map(Registration, infos)))

    def _read_keys(self) -> list[SecretKey]:
        if not self._settings.secret_key_files:
            return []
        from nivalis.cache.keys import SecretKey

        keys = []
        for file in self._settings.secret_key_files:
            try:
                keys.append(SecretKey.read(file))
            except OSError as error:
                message = f"key that is to sign what is built cannot be read: `{file}` ({error.strerror})"
                raise CannotBuildError(message, where=self._drv_path, hint="the setting `secret-key-files` names it") from error
        return keys

    def _keep_mismatched(self, error: HashMismatchError) -> None:
        """Register a fixed output with another hash under the path that it has by that: with the hash mended, nothing is fetched again."""
        if error.actual is None or self._mode != "normal":
            return
        place = self._store.real_path(error.actual.path)
        self._store.protect([error.actual.path])
        try:
            # Nobody waits here: who has that path is at work on the very same, and we hold locks that they may want.
            with hold_locks([place], _give_up):
                if not self._store.is_valid(error.actual.path):
                    self._keep([error.actual])
        except BlockingIOError:
            return
        error.hint = f"{error.hint}; what was fetched is kept as `{error.actual.path}`"

    def _remove_invalid(self) -> None:
        for path in set(self._paths.values()) - self._store.valid_among(self._paths.values()):
            remove_tree(self._store.real_path(path))

    def _compare(self, produced: Sequence[Produced]) -> None:
        """Compare a second build with what is valid."""
        for one in produced:
            known = self._store.path_info(one.path)
            if known.nar_hash == one.nar_hash:
                if not known.ultimate:
                    # By now it was built here, too.
                    self._register([known._replace(ultimate=True)])
                continue
            place = self._store.real_path(one.path)
            differences = find_differences(place, one.place)
            message = f"derivation `{self._drv_path}` may not be deterministic: output `{one.path}` differs"
            if self._settings.keep_failed:
                kept = f"{place}.check"
                remove_tree(kept)
                _move(one.place, kept)
                message += f" from `{kept}`"
            listed = "".join(f"\n  {line}" for line in differences[:20])
            if len(differences) > 20:
                listed += f"\n  and {len(differences) - 20} more"
            raise NotDeterministicError(message + listed, hint=None if self._settings.keep_failed else "`--keep-failed` keeps the second output")

    def _repair(self, produced: Sequence[Produced]) -> None:
        """Put what was built again in place of outputs that are not what they were.  Raises NotDeterministicError if it is not, either."""
        for one in produced:
            known, place = self._store.path_info(one.path), self._store.real_path(one.path)
            if os.path.lexists(place) and _hash_of(place) == known.nar_hash:
                continue
            if one.nar_hash != known.nar_hash:
                raise NotDeterministicError(
                    f"output cannot be repaired, since building it again gives something else: `{one.path}`", where=self._drv_path
                )
            aside = f"{one.place}.damaged"
            if os.path.lexists(place):
                _move(place, aside)
            _move(one.place, place)


def _elsewhere(message: str, hint: str) -> CannotBuildError:
    """The error of a derivation that another machine may well build."""
    error = CannotBuildError(message, hint=hint)
    error.status_bits = 0
    return error


def _give_up() -> None:
    raise BlockingIOError


def _hash_of(place: str) -> Hash | None:
    try:
        return hash_nar(place)[0]
    except (OSError, StoreContentError):
        return None


def find_differences(one: str, other: str, name: str = ".") -> list[str]:
    """What differs between two trees, a line for each file."""
    first, second = os.lstat(one), os.lstat(other)
    if stat.S_IFMT(first.st_mode) != stat.S_IFMT(second.st_mode):
        return [f"{name}: another type of file"]
    if stat.S_ISLNK(first.st_mode):
        targets = os.readlink(one), os.readlink(other)
        return [] if targets[0] == targets[1] else [f"{name}: symlink to `{targets[0]}`, then to `{targets[1]}`"]
    if stat.S_ISREG(first.st_mode):
        if (first.st_mode ^ second.st_mode) & stat.S_IXUSR:
            return [f"{name}: executable once only"]
        offset = _first_difference(one, other)
        return [] if offset is None else [f"{name}: from byte {offset} on ({first.st_size} bytes, then {second.st_size})"]
    lines = []
    names = set(os.listdir(one)), set(os.listdir(other))
    for entry in sorted(names[0] | names[1]):
        if entry not in names[1]:
            lines.append(f"{name}/{entry}: only in the first build")
        elif entry not in names[0]:
            lines.append(f"{name}/{entry}: only in the second build")
        else:
            lines += find_differences(f"{one}/{entry}", f"{other}/{entry}", f"{name}/{entry}")
    return lines


def _first_difference(one: str, other: str) -> int | None:
    offset = 0
    with open(one, "rb") as first, open(other, "rb") as second:
        while True:
            parts = first.read(1 << 20), second.read(1 << 20)
            if parts[0] != parts[1]:
                shorter = min(len(parts[0]), len(parts[1]))
                return offset + next((index for index in range(shorter) if parts[0][index] != parts[1][index]), shorter)
            if not parts[0]:
                return None
            offset += len(parts[0])


def _write_files(folder: str, files: Mapping[str, bytes], user: BuildUser | None) -> None:
    for name, data in files.items():
        descriptor = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(descriptor, "wb") as file:
            file.write(data)
            if user is not None:
                os.fchown(descriptor, user.uid, user.gid)


def _move(source: str, target: str) -> None:
    """Rename; a directory must be writable for that, since its `..` changes."""
    status = os.lstat(source)
    is_closed = stat.S_ISDIR(status.st_mode) and not status.st_mode & stat.S_IWUSR
    if is_closed:
        os.chmod(source, stat.S_IMODE(status.st_mode) | stat.S_IWUSR)
    os.rename(source, target)
    if is_closed:
        os.chmod(target, stat.S_IMODE(status.st_mode))


def _give_back(folder: str) -> None:
    """Make a kept build folder ours."""
    if os.geteuid() != 0:
        return
    for parent, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            with suppress(OSError):
                os.chown(os.path.join(parent, name), 0, 0, follow_symlinks=False)


def _free_space(*folders: str) -> int:
    free = []
    for folder in folders:
        try:
            status = os.statvfs(folder)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            continue
        free.append(status.f_bavail * status.f_bsize)
    return min(free, default=1 << 60)
