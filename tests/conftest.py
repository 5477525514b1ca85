"""What every test has at hand: the checkout's root, and the Hypothesis profiles (NIVALIS_HYPOTHESIS=thorough looks for longer).

Anything a single package's tests share lives in a module of that folder, not here.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("NIVALIS_HYPOTHESIS", "default"))

# A shell starts its background jobs deaf to Ctrl-C, and they would pass that on: a test of Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """How this machine and its user are configured must not change what a test finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIX_CONF_DIR", str(tmp_path_factory.mktemp("configuration")))
        patch.setenv("NIX_USER_CONF_FILES", "")
        # No test reaches out to the default cache.
        patch.setenv("NIX_CONFIG", "substituters =")
        yield


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
