"""Who holds a step: a process, named so that another one on the same machine can see whether it is gone."""

import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Lease", "is_gone", "this_process"]


@dataclass(frozen=True)
class Lease:
    """The right to finish one step, until somebody else takes it; `begun_s` is the reading of `perf_counter` then."""

    cycle: int
    step: str
    token: str
    begun_s: float


def this_process() -> str:
    """Host, process id and start time of this process."""
    process = psutil.Process()
    return f"{_host()}|{process.pid}|{process.create_time():.2f}"


def is_gone(owner: str) -> bool:
    """Whether that process surely no longer runs; never true for one on another host, which cannot be seen from here."""
    host, pid, started = owner.rsplit("|", 2)
    if host != _host():
        return False
    try:
        process = psutil.Process(int(pid))
        return f"{process.create_time():.2f}" != started or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _host() -> str:
    if sys.platform != "linux":
        return platform.node()
    return f"{platform.node()}/{Path('/proc/self/ns/pid').readlink()}"  # containers can share a host's name
