"""The filter of system calls, tried on processes of this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nivalis.build.syscalls import make_filter

# It is given to the kernel as bubblewrap does, and then what is to be tried is done.
_TRY = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
data = open(sys.argv[1], "rb").read()
text = ctypes.create_string_buffer(data, len(data))
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(data) // 8, ctypes.addressof(text))
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
file = os.open(sys.argv[2], os.O_RDWR)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0, os.strerror(ctypes.get_errno())
try:
    exec(sys.argv[3])
    print("done")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
_CALL = "\nnumber = libc.syscall({})\nif number < 0: raise OSError(ctypes.get_errno(), '')"


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        ("os.chmod(sys.argv[2], 0o1777)", "done"),
        ("os.chmod(sys.argv[2], 0o4755)", "EPERM"),
        ("os.fchmod(file, 0o755)", "done"),
        ("os.fchmod(file, 0o2755)", "EPERM"),
        ("os.chmod('file', 0o600, dir_fd=os.open(os.path.dirname(sys.argv[2]), 0))", "done"),
        ("os.chmod('file', 0o6600, dir_fd=os.open(os.path.dirname(sys.argv[2]), 0))", "EPERM"),
        # fchmodat2, which older kernels have not.
        (_CALL.format("452, -100, sys.argv[2].encode(), 0o4755, 0"), "EPERM"),
        ("os.setxattr(sys.argv[2], 'user.x', b'x')", "ENOTSUP"),
        ("os.setxattr(sys.argv[2], 'user.x', b'x', follow_symlinks=False)", "ENOTSUP"),
        ("os.setxattr(file, 'user.x', b'x')", "ENOTSUP"),
        # setxattrat.
        (_CALL.format("463, -100, sys.argv[2].encode(), 0, b'user.x', ctypes.create_string_buffer(16), 16"), "ENOTSUP"),
        # Numbers beside those that are held back, and an argument that is not a mode.
        ("os.truncate(sys.argv[2], 0o4000); os.rename(sys.argv[2], sys.argv[2])", "done"),
        ("os.getxattr(sys.argv[2], 'user.x')", "ENODATA"),
        ("os.mkdir(sys.argv[2] + '.folder', 0o6755)", "done"),
    ],
)
def test_what_a_builder_may_call(tmp_path: Path, action: str, outcome: str) -> None:
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "filter").write_bytes(make_filter())
    done = subprocess.run([sys.executable, "-c", _TRY, tmp_path / "filter", file, action], capture_output=True, text=True, check=True)
    assert done.stdout == f"{outcome}\n"
    assert file.stat().st_mode & 0o6000 == 0
