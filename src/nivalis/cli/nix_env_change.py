"""`nix-env`'s changes: installing, removing, upgrading, flags, `--set`.

What shall be installed is decided by `nivalis.profile.operations`; here it is found, built, and the profile switched to it.  If
another process has changed the profile meanwhile, it is decided again from what is installed then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nivalis.cli.arguments import UsageError
from nivalis.cli.building import Building, open_building, report_failures
from nivalis.cli.common_options import open_store
from nivalis.cli.nix_env import Options
from nivalis.cli.nix_env_sources import Sources, open_sources
from nivalis.cli.store_options import store_path_of
from nivalis.cli.talk import show_warning
from nivalis.profile.environment import ENVIRONMENT_NAME, make_environment
from nivalis.profile.operations import Candidate, Change, UpgradeRule, install, remove, set_flag, upgrade
from nivalis.profile.packages import Available, Element, read_elements
from nivalis.profile.profiles import Profile
from nivalis.profile.selection import pick_newest, select
from nivalis.store.paths import derivation_name, is_derivation, name_of

if TYPE_CHECKING:
    from nivalis.build.realisation import Realised

__all__ = ["change"]


class _BuildsFailedError(Exception):
    """Builds failed; what failed is in the result."""

    def __init__(self, result: Realised) -> None:
        super().__init__()
        self.result = result


def change(options: Options, profile: Profile, environment: dict[str, str]) -> int:
    """Change what is installed; the exit status.  Raises NivalisError, OSError."""
    try:
        with (
            open_store(profile.layout, options.config) as store,
            open_building(options, store, environment) as building,
            open_sources(options, store, environment) as sources,
        ):
            work = _Work(options, profile, sources, building)
            if options.operation == "set":
                work.set_profile()
            else:
                work.change_elements()
    except _BuildsFailedError as failed:
        report_failures(failed.result)
        return failed.result.exit_status
    return 0


class _Work:
    def __init__(self, options: Options, profile: Profile, sources: Sources, building: Building) -> None:
        self._options = options
        self._profile = profile
        self._sources = sources
        self._building = building
        self._store = building.store

    def change_elements(self) -> None:
        """Make the next generation of the profile."""
        decide = {"install": self._plan_install, "upgrade": self._plan_upgrade, "uninstall": self._plan_removal, "set-flag": self._plan_flag}[
            self._options.operation
        ]()
        while True:
            token = self._profile.token
            installed = read_elements([found.value for found in self._sources.installed(self._profile)])
            elements, steps = decide(installed)
            for step in steps:
                print(step, file=sys.stderr)
            # What evaluation made is to be built.
            self._sources.evaluator.flush()
            if self._options.dry_run:
                self._building.show_plan([element.drv_path or element.out_path for element in elements])
                return
            path = make_environment(self._store, elements, self._build, keep_derivations=self._options.config.switch("keep-env-derivations"))
            if self._profile.switch_to_path(self._store, path, expected=token):
                return
            print(f"profile '{self._profile.path}' changed while we were busy; restarting", file=sys.stderr)

    def set_profile(self) -> None:
        """Make the profile lead to one package itself."""
        elements = self._new_elements()
        if len(elements) != 1:
            names = ", ".join(f"`{element.name}`" for element in elements[:10])
            raise UsageError("`--set` requires exactly one derivation", hint=f"these are {len(elements)}: {names}" if elements else "this is none")
        (element,) = elements
        self._sources.evaluator.flush()
        if self._options.dry_run:
            self._building.show_plan([element.drv_path or element.out_path])
            return
        self._build([element.drv_path or element.out_path])
        self._profile.switch_to_path(self._store, element.out_path)

    # ---- what to do ----

    def _plan_install(self) -> Callable[[list[Element]], Change]:
        given = self._options.given
        priority = self._options.priority
        if priority is not None and not priority.removeprefix("-").isdecimal():
            raise UsageError("flag '--priority' requires a number")
        new = [element for element in self._new_elements() if not self._options.prebuilt_only or self._has(element.out_path)]
        if priority is not None:
            new = [element._replace(meta={**element.meta, "priority": priority}) for element in new]
        return lambda installed: install(installed, new, keeps_same_names="preserve-installed" in given, remove_all="remove-all" in given)

    def _plan_upgrade(self) -> Callable[[list[Element]], Change]:
        rule = cast(UpgradeRule, self._options.rule)
        available = self._find(newest_only=False)

        def is_ready(candidate: Candidate) -> bool:
            return not self._options.prebuilt_only or self._has(candidate.out_path)

        return lambda installed: upgrade(installed, available, rule, is_ready=is_ready)

    def _plan_removal(self) -> Callable[[list[Element]], Change]:
        def find(word: str) -> str:
            return store_path_of(self._store.layout, word, os.getcwd())

        return lambda installed: remove(installed, self._options.words, store_path_of=find, warn=show_warning)

    def _plan_flag(self) -> Callable[[list[Element]], Change]:
        if len(self._options.words) < 2:
            raise UsageError("`--set-flag` takes a name, a value, and the packages", hint="such as `--set-flag priority 4 hello`")
        name, value, *words = self._options.words
        return lambda installed: set_flag(installed, name, value, words)

    # ---- packages ----

    def _build(self, paths: Sequence[str]) -> None:
        """Make store paths valid.  Raises _BuildsFailedError, NivalisError."""
        result = self._building.realise(paths)
        if result.exit_status:
            for path, error in result.failures.items():
                if derivation_name(path) == ENVIRONMENT_NAME:
                    error.hint = "; ".join(filter(None, [error.hint, "the profile stays as it is"]))
            raise _BuildsFailedError(result)

    def _has(self, path: str) -> bool:
        """Whether a path is valid or can be fetched."""
        return self._store.is_valid(path) or path in self._building.substituter.available([path])

    def _new_elements(self) -> list[Element]:
        found = self._find(newest_only=True)
        # All at once: what is installed is evaluated throughout.
        derivations = read_elements([one.value for one in found if isinstance(one, Available)])
        elements = derivations or [one for one in found if isinstance(one, Element)]
        return [element._replace(name=self._options.force_name) if self._options.force_name else element for element in elements]

    def _find(self, *, newest_only: bool) -> list[Candidate]:
        """What the words on the command line name."""
        options, sources, words = self._options, self._sources, self._options.words
        if "attr" in options.given:
            return [Available(found) for found in sources.at_attributes(words)]
        if "from-expression" in options.given:
            return [Available(found) for found in sources.from_functions(words)]
        if options.from_profile is None and words and "/" in words[0]:
            return [self._stored(word) for word in words]
        if options.from_profile is not None:
            other = Profile(Path(os.path.abspath(options.from_profile)), self._profile.layout)
            found = sources.installed(other)
        else:
            found = sources.available()
        available = [Available(one) for one in found]
        if not newest_only:
            return list(select(available, words))
        return list(select(available, words, pick=lambda matches: pick_newest(matches, sources.system, show_warning)))

    def _stored(self, word: str) -> Element:
        """A store path as an element."""
        path = store_path_of(self._store.layout, word, os.getcwd())
        if not is_derivation(path):
            return Element(name_of(path), path, {"out": path})
        output = self._store.read_derivation(path).outputs.get("out")
        out_path = None if output is None else output.path
        if out_path is None:
            raise UsageError(f"derivation has no output `out`: `{path}`", hint="name the store path of an output instead")
        return Element(name_of(path), out_path, {"out": out_path}, drv_path=path)
