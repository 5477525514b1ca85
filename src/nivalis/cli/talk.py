"""What evaluating commands say on stderr beside errors; it loads nothing, since an answer from the cache says the same."""

from __future__ import annotations

import sys

from nivalis.lang.encoding import encode

__all__ = ["show_evaluation_warning", "show_trace_message", "show_warning"]


def show_warning(text: str) -> None:
    _say(f"warning: {text}")


def show_evaluation_warning(text: str) -> None:
    _say(f"evaluation warning: {text}")


def show_trace_message(text: str) -> None:
    _say(f"trace: {text}")


def _say(line: str) -> None:
    sys.stdout.flush()
    sys.stderr.buffer.write(encode(line) + b"\n")
    sys.stderr.flush()
