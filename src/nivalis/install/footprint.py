"""What an installation has outside its own folder: links, lines in files of others, folders, users.

A `Footprint` is written into the manifest before anything of it is made, and what is no longer wanted stays in it until it is gone:
so after a power cut at any moment the next run, or the removal, knows of everything.  Only what is in a manifest is ever replaced or
removed, and of links only those that still lead into the installation.

Lines in files of others stand between two markers.  They are added at the end, and taken away so that the file is what it was.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nivalis.install.errors import InstallError

__all__ = ["Addition", "Footprint", "missing_folders", "remove_tree", "replace_symlink", "write_file"]

_BEGIN, _END = "# >>> nivalis >>>\n", "# <<< nivalis <<<\n"
_BLOCK = re.compile(re.escape(_BEGIN) + ".*?" + re.escape(_END), re.DOTALL)


@dataclass(slots=True)
class Addition:
    """Lines in a file of others.  `makes`: there was no such file; `ends_line`: its last line had no end, and was given one."""

    text: str
    makes: bool = False
    ends_line: bool = False


@dataclass(slots=True)
class Footprint:
    """All that is outside: `links` (place: target), `additions` (file: lines), the `folders` made for all this, build `users`.

    `store` is as the setting of that name has it; `makes_store`: there was none.
    """

    links: dict[str, str] = field(default_factory=dict)
    additions: dict[str, Addition] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    store: str = ""
    makes_store: bool = False
    is_system: bool = False

    @classmethod
    def read(cls, manifest: Path) -> Footprint | None:
        """What a manifest says; None if there is none.  Raises InstallError."""
        try:
            fields = json.loads(manifest.read_text())
            fields["additions"] = {file: Addition(**addition) for file, addition in fields["additions"].items()}
            return cls(**fields)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise InstallError(f"manifest is damaged: `{manifest}`", hint=f"remove `{manifest.parent}` and install again") from error

    def write(self, manifest: Path) -> None:
        """Replace the manifest; it is on the disk before anything else happens."""
        write_file(manifest, json.dumps(asdict(self), indent=1) + "\n")

    def joined(self, older: Footprint) -> Footprint:
        """Both, where they say different things about a place as this one does, but for what was found when it was first made."""
        additions = {**older.additions, **self.additions}
        for file, addition in older.additions.items():
            additions[file].makes, additions[file].ends_line = addition.makes, addition.ends_line
        return Footprint(
            {**older.links, **self.links},
            additions,
            list(dict.fromkeys([*older.folders, *self.folders])),
            list(dict.fromkeys([*older.users, *self.users])),
            self.store,
            self.makes_store or older.makes_store,
            self.is_system,
        )

    def check_free(self, lib: Path) -> None:
        """Raises InstallError if something stands at one of the places that is not ours."""
        for place in self.links:
            if os.path.lexists(place) and not _leads_into(place, lib):
                raise InstallError(
                    f"something else stands where nivalis would be: `{place}`", hint="move it away, or install elsewhere with `--prefix FOLDER`"
                )

    def look(self) -> None:
        """Note how the files are that get lines, and which folders are not there."""
        for file, addition in self.additions.items():
            text = _read(file)
            addition.makes = text is None
            addition.ends_line = bool(text) and not str(text).endswith("\n")
        self.folders += missing_folders([*self.links, *self.additions])

    def apply(self) -> None:
        """Make all of it but the users and the store."""
        for place, target in self.links.items():
            os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
            replace_symlink(place, target)
        for file, addition in self.additions.items():
            os.makedirs(os.path.dirname(file), 0o755, exist_ok=True)
            text = _read(file) or ""
            block = _BEGIN + addition.text + _END
            if _BLOCK.search(text):
                text = _BLOCK.sub(lambda _, block=block: block, text, count=1)  # type: ignore[misc]
            else:
                text += ("\n" if text and not text.endswith("\n") else "") + block
            write_file(Path(file), text)

    def remove_all_but(self, wanted: Footprint, lib: Path) -> None:
        """Take away, and forget, the links and lines that are not wanted (any more)."""
        for place in self.links.keys() - wanted.links.keys():
            if _leads_into(place, lib):
                os.unlink(place)
            del self.links[place]
        for file in self.additions.keys() - wanted.additions.keys():
            self._take_lines(file, self.additions.pop(file))

    @staticmethod
    def _take_lines(file: str, addition: Addition) -> None:
        text = _read(file)
        found = None if text is None else _BLOCK.search(text)
        if text is None or found is None:
            return
        before, after = text[: found.start()], text[found.end() :]
        if addition.ends_line and not after:
            before = before.removesuffix("\n")
        if addition.makes and not before + after:
            os.unlink(os.path.realpath(file))
        else:
            write_file(Path(file), before + after)

    def remove_folders(self) -> None:
        """Remove the folders that were made and that nobody has put anything into."""
        for folder in sorted(self.folders, key=len, reverse=True):
            with suppress(OSError):
                os.rmdir(folder)


def missing_folders(places: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The folders above `places` that are not there."""
    return list(dict.fromkeys(str(folder) for place in places for folder in Path(place).parents if not os.path.lexists(folder)))


def remove_tree(place: str | os.PathLike[str]) -> None:
    """Remove whatever is there, read-only folders too; nothing is fine.  (The store's own way needs the kernel.)"""
    if not os.path.isdir(place) or os.path.islink(place):
        with suppress(FileNotFoundError):
            os.unlink(place)
        return
    # Folders, and whether they have been emptied.
    pending = [(os.fspath(place), False)]
    while pending:
        folder, is_empty = pending.pop()
        if is_empty:
            os.rmdir(folder)
            continue
        pending.append((folder, True))
        os.chmod(folder, stat.S_IRWXU)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, False))
                else:
                    os.unlink(entry.path)


def replace_symlink(place: str | os.PathLike[str], target: str) -> None:
    """Make a symlink, in place of one that stands there: at no time is there none."""
    part = f"{os.fspath(place)}.nivalis-new"
    with suppress(FileNotFoundError):
        os.unlink(part)
    os.symlink(target, part)
    os.rename(part, place)


def write_file(file: Path, text: str) -> None:
    """Replace a file at once, with its mode and owner; where it is a symlink (dotfiles often are), what that leads to."""
    file = Path(os.path.realpath(file))
    try:
        status = file.stat()
    except FileNotFoundError:
        status = None
    part = file.with_name(f"{file.name}.nivalis-new")
    with open(part, "w", encoding="utf-8", errors="surrogateescape") as stream:
        if status is not None:
            os.fchown(stream.fileno(), status.st_uid, status.st_gid)
            os.fchmod(stream.fileno(), stat.S_IMODE(status.st_mode))
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(part, file)


def _read(file: str) -> str | None:
    try:
        return Path(file).read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def _leads_into(place: str, folder: Path) -> bool:
    return os.path.islink(place) and os.readlink(place).startswith(f"{folder}/")
