"""Nothing that only Linux has is needed; macOS lacks it."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

from afl_sim.cli.options import execution_settings
from afl_sim.recording.machine import usable_processors

LINUX_ONLY = {
    "os": {
        *("CLONE_NEWNS", "O_DIRECT", "O_NOATIME", "O_PATH", "O_TMPFILE", "POSIX_FADV_DONTNEED"),
        *("RWF_NOWAIT", "SCHED_BATCH", "accept4", "copy_file_range", "eventfd", "fdatasync"),
        *("getrandom", "getresgid", "getresuid", "getxattr", "listxattr", "memfd_create"),
        *("pidfd_open", "pipe2", "posix_fadvise", "posix_fallocate", "process_cpu_count"),
        *("removexattr", "sched_getaffinity", "sched_setaffinity", "sched_setscheduler"),
        *("setns", "setresgid", "setresuid", "setxattr", "splice", "timerfd_create", "unshare"),
    },
    "signal": {
        *("SIGCLD", "SIGPOLL", "SIGPWR", "SIGRTMAX", "SIGRTMIN", "SIGSTKFLT"),
        *("pidfd_send_signal", "sigtimedwait", "sigwaitinfo"),
    },
    "select": {"EPOLLIN", "epoll"},
    "fcntl": {"F_ADD_SEALS", "F_OFD_SETLK", "F_SETPIPE_SZ"},
    "resource": {"RLIMIT_RTPRIO", "RUSAGE_THREAD", "prlimit"},
    "socket": {"AF_NETLINK", "AF_PACKET", "AF_VSOCK", "SO_PEERCRED"},
    "time": {"CLOCK_BOOTTIME", "CLOCK_TAI"},
    "mmap": {"MAP_LOCKED", "MAP_POPULATE"},
}
"""By module; a name may be asked for by ``getattr`` with another way beside it."""

LINUX_FOLDERS = ("/proc/", "/sys/", "/dev/shm")
WITH_ANOTHER_WAY = {"afl_sim/execution/arithmetic.py": {"/proc/cpuinfo"}}  # `platform` names it too


def linux_only(file: Path) -> Iterator[str]:
    """What a file needs that only Linux has, or a folder that only Linux has."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        place = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in LINUX_ONLY.get(node.value.id, ()):
                yield f"{place}: {node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module in LINUX_ONLY:
            names = {alias.name for alias in node.names} & LINUX_ONLY[node.module]
            yield from (f"{place}: {node.module}.{name}" for name in names)
        elif (
            isinstance(node, ast.Constant)
            and str(node.value).startswith(LINUX_FOLDERS)
            and node.value not in WITH_ANOTHER_WAY.get(str(file.relative_to(ROOT)), ())
        ):
            yield f"{place}: {node.value}"


@pytest.mark.parametrize("package", ["afl_sim", "analysis"])
def test_no_code_needs_what_only_linux_has(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 20
    assert [found for file in files for found in linux_only(file)] == []


def test_the_look_for_it_finds_what_it_is_to_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    code = "import os\nfrom select import epoll\nos.sched_getaffinity(0)\nopen('/proc/self/stat')\n"
    (tmp_path / "one.py").write_text(code + "getattr(os, 'sched_getaffinity', None)\n")
    assert sorted(linux_only(tmp_path / "one.py")) == [
        "one.py:2: select.epoll",
        "one.py:3: os.sched_getaffinity",
        "one.py:4: /proc/self/stat",
    ]


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.delattr(os, name, raising=False)


def test_processors_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)
    assert usable_processors() == 5
    monkeypatch.setattr(os, "process_cpu_count", lambda: None)
    assert usable_processors() == 1
    without(monkeypatch, "process_cpu_count")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 4, 6}, raising=False)
    assert usable_processors() == 3


@pytest.mark.parametrize("count", [8, None])
def test_a_system_without_affinity_has_all_its_processors(
    monkeypatch: pytest.MonkeyPatch, count: int | None
) -> None:
    without(monkeypatch, "process_cpu_count", "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_processors() == (count or 1)
    workers = f"execution.workers={count or 1}"
    assert execution_settings(None, "ray", None) == ["execution.executor=ray", workers]
    assert workers in execution_settings("auto", None, None)
