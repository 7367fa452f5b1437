"""Who holds a step: a process, named so that another one on the same machine can see whether it is gone."""

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Lease", "is_gone", "shown_owner", "this_process"]


@dataclass(frozen=True)
class Lease:
    """The right to finish one step, until somebody else takes it; `begun_s` is the reading of `perf_counter` then."""

    cycle: int
    step: str
    token: str
    begun_s: float


def this_process() -> str:
    """Host, process id and start time of this process."""
    return f"{_host()}|{os.getpid()}|{_started(os.getpid())}"


def shown_owner(owner: str) -> str:
    """A process for people to read: its id and its host."""
    host, pid, _ = owner.rsplit("|", 2)
    return f"process {pid} on {host.partition('/')[0]}"


def is_gone(owner: str) -> bool:
    """Whether that process surely no longer runs; never true for one on another host, which cannot be seen from here."""
    host, pid, started = owner.rsplit("|", 2)
    if host != _host():
        return False
    try:
        return _started(int(pid)) != started or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _started(pid: int) -> str:
    """When a process started; on Linux in ticks since boot, which a correction of the machine's clock does not move."""
    if sys.platform != "linux":
        return f"{psutil.Process(pid).create_time():.2f}"
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    return stat.rpartition(")")[2].split()[19]  # the 22nd field of proc(5), counted from behind the program's name


def _host() -> str:
    if sys.platform != "linux":
        return platform.node()
    return f"{platform.node()}/{Path('/proc/self/ns/pid').readlink()}"  # containers can share a host's name
