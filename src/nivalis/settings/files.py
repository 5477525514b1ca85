"""Configuration files: which there are, and what they say, line by line.

The format and the places are CppNix's: a line is `name = words`, `include FILE` or `!include FILE` (which may be missing); `#` begins a
comment; runs of blanks are one.  What is said later wins: the machine's file, the user's files (the first of them last), and at last
the text of NIX_CONFIG.

What the names mean is not known here.  The evaluation cache asks for the configuration at every start, so this module imports nothing.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["configuration_dir", "configuration_files", "read_configuration"]

_DIR = "/etc/nix"
_XDG_DIRS = "/etc/xdg"


def configuration_dir(environment: Mapping[str, str]) -> str:
    """The folder of the machine's configuration."""
    return os.path.normpath(environment.get("NIX_CONF_DIR") or _DIR)


def configuration_files(environment: Mapping[str, str]) -> list[str]:
    """The files that are read where they exist, in order: what a later one says wins."""
    return [f"{configuration_dir(environment)}/nix.conf", *reversed(_user_files(environment))]


def _user_files(environment: Mapping[str, str]) -> list[str]:
    named = environment.get("NIX_USER_CONF_FILES")
    if named is not None:
        return [file for file in named.split(":") if file]
    folders = []
    home = environment.get("HOME")
    base = environment.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
    own = environment.get("NIX_CONFIG_HOME") or (f"{base}/nix" if base else None)
    if own:
        folders.append(own)
    folders += [f"{folder}/nix" for folder in (environment.get("XDG_CONFIG_DIRS") or _XDG_DIRS).split(":") if folder]
    return [f"{folder}/nix.conf" for folder in folders]


def read_configuration(environment: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """All that is configured, in order: an option's name, its text, and the place (`/etc/nix/nix.conf:3`) each.

    A file that may not be read counts as missing, as with CppNix: it may hold what is secret from this user.  An include in NIX_CONFIG
    starts from the working directory.  Raises ConfigurationError.
    """
    found: list[tuple[str, str, str]] = []
    for file in configuration_files(environment):
        text = _read(file)
        if text is not None:
            _parse(text, file, found, (file,))
    if "NIX_CONFIG" in environment:
        _parse(os.fsencode(environment["NIX_CONFIG"]), "NIX_CONFIG", found, ())
    return found


def _read(file: str) -> bytes | None:
    try:
        with open(file, "rb", buffering=0) as stream:
            return stream.read()
    except OSError:
        return None


def _parse(text: bytes, file: str, found: list[tuple[str, str, str]], above: Sequence[str]) -> None:
    for number, line in enumerate(text.split(b"\n"), 1):
        words = line.partition(b"#")[0].split()
        if not words:
            continue
        place = f"{file}:{number}"
        if words[0] in (b"include", b"!include") and len(words) == 2:
            _include(os.path.join(os.path.dirname(file), os.fsdecode(words[1])), words[0] == b"include", place, found, above)
        elif len(words) >= 2 and words[1] == b"=":
            found.append((os.fsdecode(words[0]), os.fsdecode(b" ".join(words[2:])), place))
        else:
            _fail(f"configuration line is not understood: `{os.fsdecode(line.strip())}`", place, "a line is `name = value` or `include FILE`")


def _include(file: str, is_needed: bool, place: str, found: list[tuple[str, str, str]], above: Sequence[str]) -> None:
    file = os.path.normpath(file)
    if file in above:
        _fail(f"configuration file includes itself: `{file}`", place, "remove one of the includes")
    text = _read(file)
    if text is not None:
        _parse(text, file, found, (*above, file))
    elif is_needed and not os.path.exists(file):
        _fail(f"included configuration file is not there: `{file}`", place, "`!include` leaves out what is not there")


def _fail(message: str, place: str, hint: str) -> None:
    from nivalis.settings.errors import ConfigurationError

    raise ConfigurationError(message, where=place, hint=hint)
