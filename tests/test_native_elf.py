"""The kernel's functions for ELF files, through their Python face."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nivalis._native import edit_elf, read_elf
from nivalis.errors import ElfError


def test_other_files_are_none_of_its_business(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert read_elf(tmp_path / "script") is None
    with pytest.raises(FileNotFoundError):
        read_elf(tmp_path / "none")


@pytest.mark.parametrize("data", [b"\x7fELF", b"\x7fELF\1\1", b"\x7fELF\2\2" + bytes(100)])
def test_errors_have_their_class(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    for call in (lambda: read_elf(tmp_path / "x"), lambda: edit_elf(tmp_path / "x", runpath="/x")):
        with pytest.raises(ElfError) as caught:
            call()
        assert caught.value.code == "invalid-elf" and caught.value.message
    assert (tmp_path / "x").read_bytes() == data


def test_edit(tmp_path: Path) -> None:
    import nivalis._native

    place = tmp_path / "x.so"
    shutil.copy(str(nivalis._native.__file__), place)
    before = read_elf(place)
    assert before is not None and before[1] is None
    assert edit_elf(place, interpreter="/of/no/use", runpath="/a:/ä")
    assert read_elf(place) == (*before[:4], "/a:/ä")
    assert not edit_elf(place, runpath="/a:/ä")
    with pytest.raises(ElfError):
        edit_elf(place, runpath="a\0b")
    assert edit_elf(place, runpath="") and read_elf(place) == (*before[:4], None)
