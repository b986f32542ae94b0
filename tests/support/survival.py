"""Commands that are killed: what they started, and what they leave."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from commands import Command


@dataclass(frozen=True)
class Started:
    """A command in a session of its own, with a temporary folder of its own."""

    process: subprocess.Popen[str]
    temporary: Path

    @classmethod
    def start(cls, command: Command, *arguments: str | Path) -> Started:
        # Beside the test's folder, not in it: the address of a socket has to be short.
        temporary = Path(tempfile.mkdtemp(dir=command.folder.parent))
        process = subprocess.Popen(
            command.line(*arguments),
            cwd=command.folder,
            env=command.environment | {"TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell in the background hands down an ignored SIGINT.
            preexec_fn=_as_from_a_shell,
        )
        return cls(process, temporary)

    def session(self) -> dict[int, int]:
        """The living processes that the command started, itself included, and their parents."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid and fields[0] != "Z":
                    found[int(entry.name)] = int(fields[1])
        return found

    def workers(self) -> list[int]:
        """Its grandchildren: the fork server's processes."""
        session = self.session()
        return sorted(p for p, parent in session.items() if session.get(parent) == self.process.pid)

    def shared_memory(self) -> set[Path]:
        """Files of shared memory that the session's processes have mapped by name."""
        found = set()
        for process in self.session():
            try:
                lines = Path(f"/proc/{process}/maps").read_text().splitlines()
            except OSError:
                continue
            found |= {Path(line.split()[-1]) for line in lines if "/dev/shm/" in line}
        return {path for path in found if path.is_absolute()}

    def kill(self) -> None:
        """End it as nothing can prevent, and see that nothing of it is left."""
        shared = self.shared_memory()
        self.process.kill()
        self.process.communicate()
        self.wait_for_nothing()
        wait_until(lambda: not any(path.exists() for path in shared), 20)

    def end(self, code: int = 0) -> tuple[str, str]:
        """Wait for its end, and see that nothing of it is left."""
        try:
            out, err = self.process.communicate(timeout=240)
        finally:
            self.process.kill()
        assert self.process.returncode == code, out + err
        assert "Traceback" not in out + err, err
        self.wait_for_nothing()
        return out, err

    def wait_for_nothing(self) -> None:
        wait_until(lambda: not self.session(), 30)
        wait_until(lambda: not self.left(), 20, self.left)

    def left(self) -> list[Path]:
        """What is in the temporary folder, but for what PyTorch and Python leave there.

        PyTorch's cache is meant to stay. Python's `tempfile` tries the folder with a small file,
        and one that is killed in the middle of that leaves it.
        """
        return [
            entry
            for entry in sorted(self.temporary.iterdir())
            if not entry.name.startswith("torchinductor_")
            if not (_TRIED.fullmatch(entry.name) and _size(entry) in {0, len(b"blat")})
        ]

    def wait_until(self, condition: Callable[[], bool], seconds: float = 240) -> None:
        """Wait for a condition while it runs."""

        def met() -> bool:
            assert self.process.poll() is None or condition(), self.process.communicate()
            return condition()

        wait_until(met, seconds)


_TRIED = re.compile(r"[a-z0-9_]{8}")


def _size(path: Path) -> int | None:
    """Of a file that is there."""
    try:
        return path.stat().st_size if path.is_file() else None
    except FileNotFoundError:
        return None


def wait_until(
    condition: Callable[[], bool], seconds: float, told: Callable[[], object] = lambda: ""
) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not happen in time {told()}"
        time.sleep(0.005)


def version(run: Path) -> int:
    """The version of a run's latest checkpoint, 0 if there is none."""
    try:
        return max(
            int(entry.name) for entry in (run / "checkpoint").iterdir() if entry.suffix == ""
        )
    except (OSError, ValueError):
        return 0


def _as_from_a_shell() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def mount(disk: Path, size: int, *, again: bool = False) -> bool:
    """Make a disk of that many bytes, or change its size; False where that is not allowed."""
    disk.mkdir(exist_ok=True)
    options = f"{'remount,' if again else ''}size={size}"
    line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    return os.geteuid() == 0 and subprocess.run(line, capture_output=True).returncode == 0
