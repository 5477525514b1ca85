"""Nix's bytes as Python's `str`: UTF-8, and surrogates for what is none, whatever the locale says."""

from __future__ import annotations

__all__ = ["decode", "encode"]


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
