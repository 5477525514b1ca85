"""The filter of system calls in the sandbox, as CppNix's: no setuid or setgid bits, no extended attributes.

A store holds neither, and a setuid program of a builder's must not exist even for the time of its build.  Setting such a bit fails with
EPERM, setting an attribute with ENOTSUP, for which programs are prepared.  All else is allowed.

The filter is a classic BPF program over `struct seccomp_data` (linux/seccomp.h: number at 0, architecture at 4, arguments from 16 on,
eight bytes each), one instruction being `struct sock_filter`.  System calls of an architecture that is not listed pass.
"""

from __future__ import annotations

import errno
import functools
import struct
import sys

__all__ = ["make_filter"]

_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_SPECIAL_BITS = 0o6000
# The x32 interface of x86-64 has the same numbers with this bit.
_X32 = 0x40000000

# Architecture (linux/audit.h) -> calls with a mode and which argument it is, calls that set attributes.
_CALLS: dict[int, tuple[dict[int, int], tuple[int, ...]]] = {
    0xC000003E: (
        {90: 1, 91: 1, 268: 2, 452: 2, 90 | _X32: 1, 91 | _X32: 1, 268 | _X32: 2, 452 | _X32: 2},
        (188, 189, 190, 463, 188 | _X32, 189 | _X32, 190 | _X32, 463 | _X32),
    ),
    0x40000003: ({15: 1, 94: 1, 306: 2, 452: 2}, (226, 227, 228, 463)),
    0xC00000B7: ({52: 1, 53: 2, 452: 2}, (5, 6, 7, 463)),
    0x40000028: ({15: 1, 94: 1, 333: 2, 452: 2}, (226, 227, 228, 463)),
}


@functools.cache
def make_filter() -> bytes:
    """The program's bytes."""
    # The half of an argument that holds the mode.
    low = 0 if sys.byteorder == "little" else 4
    program: list[bytes] = [_instruction(_LOAD, 4)]
    for architecture, (modes, attributes) in _CALLS.items():
        # What all others pass is short, as the kernel tries every number at once: only these go on to what is behind it.
        arguments = sorted(set(modes.values()))
        at_end = {argument: len(modes) + len(attributes) + 2 + 3 * place for place, argument in enumerate(arguments)}
        refusal = len(modes) + len(attributes) + 2 + 3 * len(arguments)
        block = [_instruction(_LOAD, 0)]
        for number, argument in modes.items():
            block.append(_instruction(_JUMP_EQUAL, number, at_end[argument] - len(block) - 1))
        for number in attributes:
            block.append(_instruction(_JUMP_EQUAL, number, refusal - len(block)))
        block.append(_instruction(_RETURN, _ALLOW))
        for argument in arguments:
            block += [
                _instruction(_LOAD, 16 + 8 * argument + low),
                _instruction(_JUMP_SET, _SPECIAL_BITS, refusal - len(block) - 2),
                _instruction(_RETURN, _ALLOW),
            ]
        block += [_instruction(_RETURN, _ERRNO | errno.EPERM), _instruction(_RETURN, _ERRNO | errno.ENOTSUP)]
        program += [_instruction(_JUMP_EQUAL, architecture, 0, len(block)), *block]
    return b"".join([*program, _instruction(_RETURN, _ALLOW)])


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
