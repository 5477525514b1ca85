"""zstd: the standard library's where it has it, else the backport of the very same module."""

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdCompressor, ZstdDecompressor
else:
    from backports.zstd import ZstdCompressor, ZstdDecompressor

__all__ = ["ZstdCompressor", "ZstdDecompressor"]
