"""What every test has at hand: the checkout's root, and the Hypothesis profiles (NIVALIS_HYPOTHESIS=thorough looks for longer).

Anything a single package's tests share lives in a module of that folder, not here.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("NIVALIS_HYPOTHESIS", "default"))

# A shell starts its background jobs deaf to Ctrl-C, and they would pass that on: a test of Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
