"""xz from the kernel is what the standard library's liblzma, which is CppNix's, makes at the same level."""

from __future__ import annotations

import itertools
import lzma
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nivalis.cache.compression import make_compressor, pack_whole


def _by_stream(data: bytes, level: int | None = None) -> bytes:
    compressor = make_compressor("xz", level)
    assert compressor is not None
    return compressor.compress(data) + compressor.flush()


@given(noise=st.binary(min_size=1, max_size=200), letters=st.sampled_from([1, 2, 4, 256]), seed=st.integers(0, 1 << 32), count=st.integers(0, 3_000))
def test_xz_of_any_bytes(noise: bytes, letters: int, seed: int, count: int) -> None:
    """Of words that come again and again, of few letters or of many."""
    chance = random.Random(seed)
    text = bytes(byte % letters for byte in noise)
    data = b"".join(text[start : start + chance.randrange(1, 10)] for start in chance.choices(range(len(text)), k=count))
    assert pack_whole(data, "xz") == _by_stream(data)


def test_xz_where_a_smaller_dictionary_gives_up() -> None:
    """The search for the one earlier occurrence passes 40 of the same hash, and with a dictionary of 512 KiB 20 more."""
    near, far = _words_of_one_tree(18, 22)
    words = [near + bytes([number]) * 3 for number in range(1, 41)] + [far + bytes([number]) * 3 for number in range(1, 21)]
    noise = random.Random(1)
    data = b"".join(word + noise.randbytes(4) for word in words) + words[0]
    assert pack_whole(data, "xz") == _by_stream(data)
    small = lzma.compress(data, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 19}])
    # Behind the header of the block, which says the size.
    assert small[24:] != pack_whole(data, "xz")[24:]


def _words_of_one_tree(bits: int, more: int) -> tuple[bytes, bytes]:
    """Two words of four bytes, in order, whose hashes in liblzma's encoder have so many bits in common, and not `more`."""
    table = [zlib.crc32(bytes([byte])) ^ zlib.crc32(b"\0") for byte in range(256)]
    seen: dict[int, tuple[bytes, int]] = {}
    for number in itertools.count(0x20000000, 0x10305):
        word = number.to_bytes(4, "big")
        value = table[word[0]] ^ word[1] ^ word[2] << 8 ^ table[word[3]] << 5
        other, whole = seen.setdefault(value % (1 << bits), (word, value))
        if (whole ^ value) % (1 << more):
            return other, word
    raise AssertionError


@pytest.mark.parametrize("level", [0, 6, 9])
def test_xz_at_each_level(level: int) -> None:
    data = random.Random(level).randbytes(1000) + bytes(1000)
    assert pack_whole(data, "xz", level) == _by_stream(data, level)
