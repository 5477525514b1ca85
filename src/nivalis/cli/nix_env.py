"""`nix-env`: install, remove, upgrade and list packages, in profiles whose every change is a generation.

Flags, output and exit status are CppNix's; what is done is said on stderr.  The command line is read here, and what only looks at
generations is done here; `nix_env_query` lists packages, `nix_env_change` changes what is installed.
"""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nivalis.cli.arguments import Flags, UsageError, read_program
from nivalis.cli.building import BuildOptions
from nivalis.cli.failures import run
from nivalis.profile.generations import Generation, remove_old_generations
from nivalis.profile.profiles import Profile, find_default_profile, link_default_profile
from nivalis.store.layout import StoreLayout

__all__ = ["Options", "nix_env", "run_program", "user_name"]

_HELP = """\
Usage: nix-env OPERATION [FLAGS] [WORDS...]

Installs, removes, upgrades and lists packages.  Each change of a profile is a new generation, and one can go back to any.

Operations:
  -i, --install WORDS       install packages; those of the same name are replaced
  -u, --upgrade [NAMES]     replace what is installed by newer versions
  -e, --uninstall NAMES     remove what is installed
  -q, --query [NAMES]       list what is installed; with -a, what can be installed
  --set WORD                make the profile lead to just this package
  --set-flag NAME VALUE NAMES
                            set `priority`, `active` or `keep` of installed packages
  --list-generations        list the generations of the profile
  --rollback                go back to the generation before the current
  -G, --switch-generation NUMBER
                            go to this generation
  --delete-generations NUMBERS | old | 30d | +5
                            remove generations: these, all others, those older than 30 days, all but the last 5
  -S, --switch-profile PATH
                            make ~/.nix-profile lead to this profile

Words that name packages are names (`hello`), with a version (`hello-2.10`), regular expressions (`.*zip.*`), `*`, or store paths.

Where from:
  -p, --profile PATH        use this profile
  -f, --file PATH           install from this file or folder, or <name>, instead of ~/.nix-defexpr
  -A, --attr                the words are attribute paths; when listing: -A PATH, list only what is below it
  -E, --from-expression     the words are functions of the expression in the file
  --from-profile PATH       install what is installed in another profile
  --arg NAME EXPR, --argstr NAME STRING, -I [NAME=]PATH
  --system-filter SYSTEM    only packages for this system
  -b, --prebuilt-only       only what need not be built here

Installing:
  -P, --preserve-installed  keep installed packages of the same name
  -r, --remove-all          remove everything else
  --priority NUMBER         the lower one wins where two packages have the same file (5 if nothing is said)
Upgrading:
  --lt, --leq, --eq, --always
                            to a newer version (as a rule), also to the same, only to the same, to any

Listing:
  --installed, -a, --available
  -s, --status              I: installed, P: present in the store, S: can be fetched
  -P, --attr-path           show attribute paths (with -a)
  -c, --compare-versions    compare with what can be installed; with -a, with what is installed
  --no-name, --system, --drv-path, --out-path, --description, --meta
  --json, --xml

Other:
  --dry-run                 only say what would be done
  -j N, --cores N, -k, -K, -Q, --option NAME VALUE
                            how to build, as for nix-build
  --store PLACE             use the store there: a folder, or local?root=...
  -h, --help, --version
"""

_OPERATIONS = {
    "install": ("-i", "--install"),
    "upgrade": ("-u", "--upgrade"),
    "uninstall": ("-e", "--uninstall"),
    "query": ("-q", "--query"),
    "set": ("--set",),
    "set-flag": ("--set-flag",),
    "list-generations": ("--list-generations",),
    "rollback": ("--rollback",),
    "switch-generation": ("-G", "--switch-generation"),
    "delete-generations": ("--delete-generations",),
    "switch-profile": ("-S", "--switch-profile"),
}
_CHANGES = frozenset({"install", "upgrade", "uninstall", "set", "set-flag"})
_SOURCES = frozenset({"from-expression", "attr", "from-profile"})
_RULES = frozenset({"lt", "leq", "eq", "always"})
_COLUMNS = frozenset({"status", "attr-path", "no-name", "compare-versions", "system", "drv-path", "out-path", "description", "meta"})
_LISTED = _COLUMNS | {"installed", "available", "xml", "json"}
# Which flags belong to which operation; without an entry, none.
_BELONGS: Mapping[str, frozenset[str]] = {
    "install": _SOURCES | {"preserve-installed", "remove-all", "priority"},
    "upgrade": _SOURCES | _RULES,
    "set": _SOURCES,
    "query": _LISTED | {"attr"},
}
_LETTERS = {"-E": "from-expression", "-r": "remove-all", "-s": "status", "-c": "compare-versions"}
_PLACES = {"--installed": "installed", "--available": "available", "-a": "available"}


class Options(BuildOptions):
    """The flags of this command."""

    def __init__(self) -> None:
        super().__init__()
        self.operation = ""
        self.words: list[str] = []
        self.given: set[str] = set()
        self.profile: str | None = None
        self.file: str | None = None
        self.attribute: str | None = None
        self.from_profile: str | None = None
        self.priority: str | None = None
        self.rule = "lt"
        self.force_name: str | None = None
        self.system_filter = "*"
        self.prebuilt_only = False
        self._waits_for_attribute = False

    def flags(self) -> Flags:
        own: dict[str, tuple[int, Callable[..., object]]] = {
            # A flag of one letter, with two meanings: what it is shows when the operation is known.
            "-P": (0, lambda: self._give("P")),
            "-A": (0, self._give_attribute),
            "--attr": (0, self._give_attribute),
            "--from-profile": (1, lambda path: self._give("from-profile", "from_profile", path)),
            "--priority": (1, lambda number: self._give("priority", "priority", number)),
            "-b": (0, lambda: setattr(self, "prebuilt_only", True)),
            "--prebuilt-only": (0, lambda: setattr(self, "prebuilt_only", True)),
            "--dry-run": (0, lambda: setattr(self, "dry_run", True)),
        }
        for field, names in {
            "profile": ("-p", "--profile"),
            "file": ("-f", "--file"),
            "force_name": ("--force-name",),
            "system_filter": ("--system-filter",),
        }.items():
            own |= {name: (1, lambda value, field=field: setattr(self, field, value)) for name in names}
        for operation, names in _OPERATIONS.items():
            own |= {name: (0, lambda operation=operation: self._choose(operation)) for name in names}
        plain = {f"--{name}": name for name in [*_LISTED, "from-expression", "preserve-installed", "remove-all"]} | _LETTERS
        own |= {flag: (0, lambda name=name: self._give(name)) for flag, name in plain.items()}
        own |= {flag: (0, lambda source=source: self._list_from(source)) for flag, source in _PLACES.items()}
        own |= {f"--{rule}": (0, lambda rule=rule: self._give(rule, "rule", rule)) for rule in _RULES}
        return {**super().flags(), **own}

    def read(self, words: Sequence[str]) -> bool:
        """Read a whole command line; whether there is anything to do after it.  Raises UsageError."""
        if not read_program("nix-env", _HELP, words, self.flags(), self._add_word):
            return False
        if not self.operation:
            raise UsageError("no operation specified", hint="`nix-env --help` shows all of them")
        if "P" in self.given:
            self.given.remove("P")
            self.given.add("attr-path" if self.operation == "query" else "preserve-installed")
        for name in sorted(self.given - _BELONGS.get(self.operation, frozenset())):
            raise UsageError(f"flag '--{name}' does not belong to `--{self.operation}`", hint="`nix-env --help` shows all flags")
        if self.operation == "query" and "attr" in self.given and self.attribute is None:
            if not self.words:
                raise UsageError("flag '--attr' requires 1 argument")
            self.attribute = self.words.pop(0)
        return True

    def check_words(self, count: int) -> None:
        """Raises UsageError if there are not as many words as the operation takes."""
        if len(self.words) != count:
            expected = f"{count} argument{'s' if count != 1 else ''}" if count else "no arguments"
            raise UsageError(f"`--{self.operation}` takes {expected}")

    def _choose(self, operation: str) -> None:
        if self.operation not in ("", operation):
            raise UsageError(f"only one operation may be specified, and there are `--{self.operation}` and `--{operation}`")
        self.operation = operation

    def _list_from(self, source: str) -> None:
        # The last one counts.
        self.given -= {"installed", "available"}
        self.given.add(source)

    def _give(self, name: str, field: str | None = None, value: str | None = None) -> None:
        self.given.add(name)
        if field is not None:
            setattr(self, field, value)

    def _give_attribute(self) -> None:
        self._give("attr")
        self._waits_for_attribute = self.operation == "query"

    def _add_word(self, word: str) -> None:
        if self._waits_for_attribute:
            self.attribute, self._waits_for_attribute = word, False
        else:
            self.words.append(word)


def run_program() -> int:
    """The program; its exit status."""
    return run(lambda: nix_env(sys.argv[1:]))


def nix_env(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError, OSError."""
    options = Options()
    if not options.read(words):
        return 0
    if options.dry_run:
        print("(dry run; not doing anything)", file=sys.stderr)
    environment = dict(os.environ)
    options.read_only = options.operation not in _CHANGES
    layout = options.layout(environment)
    profile = Profile(_find_profile(options, layout, environment), layout)
    if options.operation in _GENERATIONS:
        _GENERATIONS[options.operation](options, profile)
        return 0
    if options.operation == "switch-profile":
        options.check_words(1)
        link_default_profile(environment, Path(os.path.abspath(options.words[0])))
        return 0
    if options.operation == "query":
        from nivalis.cli.nix_env_query import query

        return query(options, profile, environment)
    from nivalis.cli.nix_env_change import change

    return change(options, profile, environment)


def user_name() -> str:
    """Who runs this."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return os.environ.get("USER") or str(os.geteuid())


def _find_profile(options: Options, layout: StoreLayout, environment: dict[str, str]) -> Path:
    named = options.profile or environment.get("NIX_PROFILE")
    return Path(os.path.abspath(named)) if named else find_default_profile(layout, environment, user_name())


def _list_generations(options: Options, profile: Profile) -> None:
    options.check_words(0)
    current = profile.current()
    for generation in profile.generations():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(generation.created))
        print(f"{generation.number:4}   {when}   {'(current)' if generation.number == current else ''}")


def _rollback(options: Options, profile: Profile) -> None:
    options.check_words(0)
    profile.switch_to(dry_run=options.dry_run, on_switch=_say_switch)


def _switch_generation(options: Options, profile: Profile) -> None:
    options.check_words(1)
    profile.switch_to(_number(options.words[0]), dry_run=options.dry_run, on_switch=_say_switch)


def _say_switch(old: int, new: int) -> None:
    print(f"switching profile from version {old} to {new}", file=sys.stderr)


def _delete_generations(options: Options, profile: Profile) -> None:
    verb = "would remove" if options.dry_run else "removing"

    def say(generation: Generation) -> None:
        print(f"{verb} profile version {generation.number}", file=sys.stderr)

    def before(generations: Sequence[Generation]) -> None:
        from nivalis.system.machine import take_from_menu

        take_from_menu(profile.layout, profile.path, generations)

    only = options.words[0] if len(options.words) == 1 else ""
    if only == "old":
        remove_old_generations(profile.path, dry_run=options.dry_run, on_remove=say, before=before)
    elif "d" in only:
        digits = only.removesuffix("d")
        if digits == only or not (digits.isascii() and digits.isdigit()) or int(digits) < 1:
            raise UsageError(f"invalid number of days '{only}'", hint="it looks like `14d`")
        remove_old_generations(profile.path, older_than=time.time() - int(digits) * 24 * 3600, dry_run=options.dry_run, on_remove=say, before=before)
    elif only.startswith("+"):
        profile.keep_last(_number(only[1:]), dry_run=options.dry_run, on_remove=say, before=before)
    else:
        profile.remove({_number(word) for word in options.words}, dry_run=options.dry_run, on_remove=say, before=before)


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise UsageError(f"invalid generation number '{word}'", hint="`nix-env --list-generations` shows them")
    return int(word)


_GENERATIONS: Mapping[str, Callable[[Options, Profile], None]] = {
    "list-generations": _list_generations,
    "rollback": _rollback,
    "switch-generation": _switch_generation,
    "delete-generations": _delete_generations,
}
