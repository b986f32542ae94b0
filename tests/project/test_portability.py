"""Nothing that only Linux has is needed; macOS lacks it. What Windows lacks is asked for first."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import QUICK, Command
from places import ROOT

from afl_sim import load_run
from afl_sim.cli.options import execution_settings
from afl_sim.machine import usable_processors

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

NOT_ON_WINDOWS = {
    "os": {
        *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "WNOHANG", "chown"),
        *(
            "fchdir",
            "fchmod",
            "fchown",
            "fork",
            "forkpty",
            "geteuid",
            "getegid",
            "getgid",
            "getpgid",
        ),
        *(
            "getuid",
            "killpg",
            "lockf",
            "mkfifo",
            "nice",
            "openpty",
            "posix_spawn",
            "register_at_fork",
        ),
        *("setsid", "sysconf", "statvfs", "uname", "wait", "wait4"),
    },
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP"),
        *("SIGTSTP", "SIGUSR1", "SIGUSR2", "alarm", "pthread_kill", "pthread_sigmask", "setitimer"),
        *("sigwait", "siginterrupt"),
    },
    "socket": {"AF_UNIX"},
}
POSIX_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
BEHIND_A_QUESTION = {
    "afl_sim/execution/workers/forkserver.py": {"signal.SIGHUP", "signal.pthread_sigmask"},
    "afl_sim/execution/workers/processes.py": {"signal.SIGHUP"},  # a worker of the fork server
    "afl_sim/recording/drafts.py": {"os.geteuid"},
    "afl_sim/machine.py": {"os.sysconf"},
}
"""Uses that come after the question whether the system has it."""

LINUX_FOLDERS = ("/proc/", "/sys/", "/dev/shm")
WITH_ANOTHER_WAY = {
    "afl_sim/machine.py": {"/proc/cpuinfo"},  # elsewhere `platform` names the processor
    "afl_sim/portable/processor.py": {"/proc/cpuinfo"},  # elsewhere bits are native
}


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


def posix_only(file: Path) -> Iterator[str]:
    """What a file needs that Windows lacks."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            lacking = NOT_ON_WINDOWS.get(node.module or "", set())
            yield from (f"{node.module}.{a.name}" for a in node.names if a.name in lacking)
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in NOT_ON_WINDOWS.get(owner, ()):
                yield f"{owner}.{node.attr}"
        yield from (module for module in modules if module.partition(".")[0] in POSIX_MODULES)


def test_what_windows_lacks_is_used_where_it_was_asked_for_and_nowhere_else() -> None:
    files = [file for package in ("afl_sim", "analysis") for file in (ROOT / package).rglob("*.py")]
    found = {str(file.relative_to(ROOT)): set(posix_only(file)) for file in files}
    assert {file: names for file, names in found.items() if names} == BEHIND_A_QUESTION


def test_the_look_for_what_windows_lacks_finds_it(tmp_path: Path) -> None:
    code = "import fcntl\nfrom signal import SIGINT, SIGKILL\nimport os\nos.fork()\nos.kill(1, 0)\n"
    (tmp_path / "one.py").write_text(code)
    assert sorted(posix_only(tmp_path / "one.py")) == ["fcntl", "os.fork", "signal.SIGKILL"]


WITHOUT = f"""
import filelock, pandas, pyarrow, scipy.stats, simpy, torch, typer  # what these need is theirs
import multiprocessing.context, os, shutil, signal, sys

for module in {POSIX_MODULES!r}:
    sys.modules[module] = None
for module, names in {NOT_ON_WINDOWS!r}.items():
    # The last three are what the standard library needs on this system.
    for name in names - {{"SIGKILL", "WNOHANG", "register_at_fork"}}:
        vars(sys.modules.get(module, os)).pop(name, None)
del multiprocessing.context.ForkServerContext
multiprocessing.get_all_start_methods = lambda: ["spawn"]
filelock.lock_descriptor = lambda descriptor, **how: True  # it has a way of its own on Windows
opened = os.open


def open_no_folder(path, *arguments, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return opened(path, *arguments, **options)


os.open = open_no_folder
shutil._use_fd_functions = False
from afl_sim import cli

for line in sys.stdin.read().splitlines():
    sys.argv = ["afl-sim", *line.split()]
    try:
        cli.main()
    except SystemExit as ending:
        print("exit code:", ending.code)
"""


def test_a_run_in_one_process_needs_nothing_that_windows_lacks(tmp_path: Path) -> None:
    run = f"run smallest {' '.join(QUICK)} --out run"
    lines = [run, f"{run} --force --seed 2", f"{run} --force --workers 2", "resume run"]
    done = Command(tmp_path, tmp_path / "cache").python(WITHOUT, "\n".join(lines))
    assert "Traceback" not in done.err
    codes = [line for line in done.out.splitlines() if line.startswith("exit code")]
    assert codes == ["exit code: 0", "exit code: 0", "exit code: 2", "exit code: 0"], done.err
    assert "this system cannot start worker processes" in done.err
    assert load_run(tmp_path / "run").summary["status"] == "complete"
    assert "\nseed: 2\n" in (tmp_path / "run" / "scenario.yaml").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "run"]


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
