"""Anonymous memory that several processes map: sealed, so that nobody can take it away from under the others.

A mapping whose file has become shorter kills who reads it. Whoever gets such memory from another process therefore
asks for its size here before mapping it.
"""

import fcntl
import os

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def make_memory(name: str, size: int) -> int:
    """A descriptor of `size` bytes, all zero; they cost nothing until they are written. `name` is for people."""
    memfd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(memfd, size)
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(memfd)
        raise
    return memfd


def memory_size(memfd: int) -> int:
    """Bytes that may be mapped. ValueError: it could be taken away, or is no such memory."""
    try:
        seals = fcntl.fcntl(memfd, fcntl.F_GET_SEALS)
    except OSError as error:
        raise ValueError("no shared memory") from error
    if seals & _SEALS != _SEALS:
        raise ValueError("its memory could be taken away")
    return os.fstat(memfd).st_size
