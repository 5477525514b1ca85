"""Profiles: what a user or a system has installed, in generations that can be gone back to.

What it is: finding and removing generations (`generations`).

What it may import: `nivalis.store` and what is below it.

What it does not do: it builds nothing and collects nothing; a generation is a garbage-collector root by the place of its link alone.
"""

from __future__ import annotations
