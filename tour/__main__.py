"""`./dev tour`: take the steps, and say how it went."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from nivalis.build.sandbox import check_available
from nivalis.debian.mirror import order_mirrors, read_mirrors
from nivalis.errors import NivalisError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import download
from tour.show import Result, Show, Summary, format_summary
from tour.stage import Stage, default_folder
from tour.steps import FULL, SHORT, Tour, switch_again


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("./dev tour", description="From a configuration to a server that serves a page, and back, on real parts.")
    parser.add_argument("--short", action="store_true", help="leave out the upgrade, and end with the rollback")
    parser.add_argument("--keep", action="store_true", help="leave the server running")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--folder", type=Path, default=default_folder(), help="where everything lies; %(default)s")
    parser.add_argument("--clean", action="store_true", help="only remove what earlier tours have kept in the folder")
    parser.add_argument("--if-possible", action="store_true", help="do nothing where no mirror of Debian answers, or builds have no sandbox")
    given = parser.parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    show = Show()
    if given.clean:
        return clean(given.folder, show)
    obstacle = find_obstacle() if given.if_possible else ""
    if obstacle:
        show.say(f"The tour is left out: {obstacle}")
        return 0
    steps = SHORT if given.short else FULL
    began = time.monotonic()
    results = []
    try:
        with Stage(given.folder, show) as stage:
            tour = Tour(stage, is_short=given.short)
            show.say(f"Everything lies in {stage.folder}; every command's words are in its folder `log`.")
            for step in steps:
                show.step(step.number, step.title)
                start = time.monotonic()
                step.take(tour)
                results.append(Result(step.number, step.title, time.monotonic() - start))
            stage.collect()
            kept = keep(tour) if given.keep else {}
        seconds = time.monotonic() - began
    except NivalisError as error:
        show.failed(str(error))
        return 1
    except KeyboardInterrupt:
        show.failed("interrupted; nothing has been left running")
        return 130
    show.blank()
    place = [] if given.folder == default_folder() else ["--folder", str(stage.folder)]
    clean_up = shlex.join(["./dev", "tour", "--clean", *place])
    print(format_summary(Summary(tuple(results), seconds, tour.accelerator, str(stage.folder), clean_up, **kept), as_json=given.json))
    return 0


def clean(folder: Path, show: Show) -> int:
    """Remove what tours keep in a folder, and their cloud; the exit status."""
    try:
        with Stage(folder, show) as stage:
            freed = stage.clean()
    except NivalisError as error:
        show.failed(str(error))
        return 1
    show.say(f"{freed >> 20} MiB freed in {stage.folder}")
    return 0


def keep(tour: Tour) -> dict[str, str]:
    """Let the server stay; where it is."""
    stage, server = tour.stage, tour.server
    # The last step leaves it with an older generation, which has no page.
    switch_again(tour)
    # What they lead to ends with the tour.
    server.run("rm -f ~/.config/nix/nix.conf ~/.config/nivalis/debian.json", "")
    stage.keeps_cloud = True
    stop = f"NIVALIS_CLOUD={shlex.quote(str(stage.cloud))} {Path(sys.executable).parent}/nivalis cloud local stop"
    return {"address": server.address, "ssh": server.ssh_command, "stop": stop}


def find_obstacle() -> str:
    """Why there can be no tour on this machine; empty if there can be one."""
    try:
        check_available()
        with tempfile.TemporaryDirectory(prefix="nivalis-tour-") as folder:
            address = f"{order_mirrors(read_mirrors(os.environ).of_channel('nixpkgs'), security=False)[0]}/dists/bookworm/InRelease"
            download(address, f"{folder}/InRelease", network=Network(os.environ, attempts=2))
    except NivalisError as error:
        return str(error)
    return ""


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
