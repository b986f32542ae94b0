"""Breaking a run off at one of its file operations, as a full disk or a power cut would."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OPERATIONS = ("open", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir")


class Cut(BaseException):
    """The process is gone; whatever it would still do to files it cannot do."""


class Files:
    """The operations that change files below a folder, counted; one of them may be the last.

    Args:
        root: the folder.
        last: the number of the operation that goes wrong, from 0; None: none does.
        wrong: ``error``: it fails, and the others go on. ``cut``: it and all others raise `Cut`.
            ``exit``: the process ends there.

    Attributes:
        done: the names of the operations so far.
    """

    def __init__(self, root: Path, last: int | None = None, wrong: str = "cut") -> None:
        self.done: list[str] = []
        self._root = str(root)
        self._last = last
        self._wrong = wrong
        self._gone = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the operations of this process."""
        real = {name: getattr(os, name) for name in (*OPERATIONS, "fdopen")}
        for name in OPERATIONS:
            setattr(os, name, self._hooked(name, real[name]))
        os.fdopen = self._opened(real["fdopen"])
        try:
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)

    def step(self, name: str, half: Callable[[], Any] = lambda: None) -> None:
        """One operation is about to be done; ``half`` does a part of it."""
        if self._gone:
            raise Cut
        if len(self.done) == self._last:
            self.done.append(name)
            half()
            if self._wrong == "error":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            if self._wrong == "exit":
                os._exit(9)
            self._gone = True
            raise Cut
        self.done.append(name)

    def _hooked(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def hooked(path: Any, *rest: Any, **more: Any) -> Any:
            reads = name == "open" and not rest[0] & os.O_CREAT
            if not reads and self._is_below(path, more.get("dir_fd")):
                self.step(name)
            return real(path, *rest, **more)

        return hooked

    def _opened(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(descriptor: int, mode: str = "r", *rest: Any, **more: Any) -> Any:
            file = real(descriptor, mode, *rest, **more)
            return _Handle(file, self) if "w" in mode and self._is_below(descriptor) else file

        return opened

    def _is_below(self, path: Any, folder: int | None = None) -> bool:
        if folder is not None:
            path = folder
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        return os.fspath(path).startswith(self._root)


class _Handle:
    """A file whose writes count; of the one that goes wrong half arrives."""

    def __init__(self, file: Any, files: Files) -> None:
        self._file = file
        self._files = files

    def write(self, content: Any) -> int:
        content = bytes(content)

        def half() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        self._files.step("write", half)
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
