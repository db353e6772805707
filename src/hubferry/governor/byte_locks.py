"""Locks on single bytes of a file: exclusive among threads and among processes.

The operating system frees what a process held when it dies, however it dies. No
byte is ever written: a lock may stand far beyond the end of the file.

Record locks belong to a process, not to a thread, and closing *any* descriptor
of the file frees all of them. So this module opens each file once a process,
keeps account of the bytes itself, and closes it when nobody uses it any more.

Source: POSIX, ``fcntl``, "F_SETLK"; Windows, ``LockFile``.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Tell = Callable[[OSError], None]
"""Told, once a file, why only this process sees its locks."""

_HELD_BY_OTHERS = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK})
# The C runtime of Windows seeks with 32 bits here. Two offsets that become one only wait
# for each other.
_MOST_OFFSET = 2**30 if sys.platform == "win32" else 2**62


class _LockFile:
    """One file of this process with the bytes that it holds. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0
        self._lock = threading.Lock()
        self._held: set[int] = set()
        self._fd: int | None = None
        self._is_alone = False

    def try_acquire(self, offset: int, tell: Tell) -> bool:
        offset %= _MOST_OFFSET
        with self._lock:
            if offset in self._held:
                return False
            if not self._is_alone:
                try:
                    if not _try_lock(self._open(), offset):
                        return False
                except OSError as error:
                    # No locks here, or no such folder may be made: this process goes on alone.
                    self._is_alone = True
                    tell(error)
            self._held.add(offset)
            return True

    def release(self, offset: int) -> None:
        offset %= _MOST_OFFSET
        with self._lock:
            if offset not in self._held:
                return
            if self._fd is not None:
                try:
                    _unlock(self._fd, offset)
                except OSError:
                    pass  # it was never had from the system
            self._held.discard(offset)

    def close(self) -> bool:
        """Let go of the file unless a byte is held; whether it did."""
        with self._lock:
            if self._held:
                return False
            self._close()
            return True

    def _open(self) -> int:
        """The file's descriptor; anew if somebody removed the file and nothing is held of it."""
        if self._fd is not None and not self._held and not _is_at(self._fd, self.path):
            self._close()
        if self._fd is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            self._fd = os.open(self.path, flags, 0o600)
        return self._fd

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


if sys.platform == "win32":

    def _is_at(fd: int, path: Path) -> bool:
        return True  # an open file cannot be removed

    def _try_lock(fd: int, offset: int) -> bool:
        os.lseek(fd, offset, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in _HELD_BY_OTHERS:
                return False
            raise
        return True

    def _unlock(fd: int, offset: int) -> None:
        os.lseek(fd, offset, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:

    def _is_at(fd: int, path: Path) -> bool:
        try:
            there = path.stat()
        except OSError:
            return False
        return os.path.samestat(os.fstat(fd), there)

    def _try_lock(fd: int, offset: int) -> bool:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except OSError as error:
            if error.errno in _HELD_BY_OTHERS:
                return False
            raise
        return True

    def _unlock(fd: int, offset: int) -> None:
        fcntl.lockf(fd, fcntl.LOCK_UN, 1, offset)


_files: dict[str, _LockFile] = {}
_files_lock = threading.Lock()


class ByteLocks:
    """The locks of one file; makes the file when the first lock is asked for. Thread-safe.

    Several instances of one path are one set of locks. Where the file system has
    no locks, or the file cannot be made, they hold in this process only, and
    ``tell`` hears why.
    """

    def __init__(self, path: Path, *, tell: Tell = lambda error: None) -> None:
        self.path = path
        self._tell = tell
        self._file: _LockFile | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def try_acquire(self, offset: int) -> bool:
        """Take the byte at ``offset`` (0 to 2**62 - 1); False if anybody holds it, us included."""
        return self._opened().try_acquire(offset, self._tell)

    def release(self, offset: int) -> None:
        """Give a byte back; fine if it is not held."""
        file = self._file
        if file is not None:
            file.release(offset)
            if self._is_closed:
                _forget_unused(file)

    def close(self) -> None:
        """Let go of the file, as soon as none of its bytes is held; safe to repeat."""
        with self._lock:
            file, was_closed, self._is_closed = self._file, self._is_closed, True
        if file is not None and not was_closed:
            with _files_lock:
                file.users -= 1
            _forget_unused(file)

    def _opened(self) -> _LockFile:
        with self._lock:
            if self._file is None or self._is_closed:
                key = os.path.realpath(self.path)
                with _files_lock:
                    self._file = _files.setdefault(key, _LockFile(Path(key)))
                    self._file.users += 1
                self._is_closed = False
            return self._file


def _forget_unused(file: _LockFile) -> None:
    with _files_lock:
        key = str(file.path)
        if file.users <= 0 and _files.get(key) is file and file.close():
            del _files[key]
