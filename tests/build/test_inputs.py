"""Builds with many inputs: all of them are seen, nothing else is, and none can be written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nivalis.build import mounter

# A text, a folder, a symlink and `count` texts more.
MANY = """
let folder = sh "folder" "mkdir $out; echo in > $out/file"; link = sh "link" "ln -s ${folder} $out";
in shWith "many" { passAsFile = [ "many" ]; many = texts COUNT; unused = folder; }
  "cat ${link}/file > $out; cat $(cat $manyPath) | wc -c >> $out; ls /nix/store | grep -c -v -- -many >> $out
   touch ${folder}/file ${link}/x $(cut -d' ' -f1 $manyPath) 2>&1 | grep -c Read-only >> $out; rm -rf ${folder} || true; cat ${link}/file >> $out
   rmdir ${folder} 2>&1 | grep -o busy >> $out; umount ${folder} 2>&1 | grep -o 'not permitted' >> $out; echo end >> $out"
"""


@pytest.mark.parametrize("count", [3, 200, 5000])
def test_all_inputs_are_there(count: int, workshop: Any) -> None:
    assert (count < mounter.WORTHWHILE) == (count == 3)
    place = Path(workshop.build(MANY.replace("COUNT", str(count))))
    lines = place.read_text().splitlines()
    assert lines == ["in", str(count), str(count + 2), "3", "in", "busy", "not permitted", "end"]
