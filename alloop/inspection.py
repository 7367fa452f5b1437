"""Looking at image files, many at a time: content id, size in pixels, or what is wrong with them.

Threads suit remote files (they wait) and few files (they start at once). For many small local files Python's interpreter
lock is the limit (two threads were slower than none, 2025-11), so there they are children of our own: plain processes that
speak JSON lines over a pipe. `multiprocessing` was rejected: forking a parent with torch's threads can deadlock, and
spawn and forkserver run the caller's script again, which repeats its work when it has no `if __name__` guard.
"""

import json
import os
import queue
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from alloop.errors import BadImage
from alloop.images import content_id, measure, read_bytes

__all__ = ["Inspection", "Submit", "in_processes", "in_threads", "inspect", "serve"]


class Inspection(NamedTuple):
    """What a look at one file found; `fault` says why it cannot be used, `mtime_ns` is None for a remote file."""

    uri: str
    id: str = ""
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    mtime_ns: int | None = None
    fault: str | None = None


Submit = Callable[[list[str]], Future[list[Inspection]]]

PROGRAM = "import sys; sys.path.append(sys.argv[1]); from alloop.inspection import serve; serve()"


def inspect(uri: str) -> Inspection:
    """Read and decode the whole file once; a file that cannot be used comes back with its `fault`, never as an error."""
    try:
        raw, mtime_ns = (read_bytes(uri), None) if "://" in uri else _read_local(uri)
        width, height = measure(raw, uri)
    except BadImage as error:
        return Inspection(uri, fault=str(error).removeprefix(f"{uri} "))
    return Inspection(uri, content_id(raw), width, height, len(raw), mtime_ns)


def _read_local(path: str) -> tuple[bytes, int]:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # a named pipe would never end
            raise BadImage(f"{path} is not a file; name an image file")
        with Path(path).open("rb") as file:
            return file.read(), os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError as error:
        raise BadImage(f"{path} does not exist; check the path") from error
    except (OSError, ValueError) as error:
        raise BadImage(f"{path} cannot be read ({error}); check the path and its permissions") from error


@contextmanager
def in_threads(workers: int) -> Iterator[Submit]:
    """A function that has uris inspected by `workers` threads of this process; leaving stops them after one file each."""
    left = threading.Event()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="inspect")

    def work(uris: list[str]) -> list[Inspection]:
        return [inspect(uri) for uri in uris if not left.is_set()]

    try:
        yield lambda uris: pool.submit(work, uris)
    finally:
        left.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def in_processes(workers: int, *, program: str = PROGRAM) -> Iterator[Submit]:
    """A function that has uris of local files inspected by `workers` children; leaving kills them at once.

    A child that dies is replaced. The file that it died of gets a fault; the others of its list are inspected.
    """
    children = [Child(program) for _ in range(workers)]
    idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
    for child in children:
        idle.put(child)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="inspect")

    def work(uris: list[str]) -> list[Inspection]:
        child = idle.get()
        try:
            return child.inspect(uris)
        finally:
            idle.put(child)

    try:
        yield lambda uris: pool.submit(work, uris)
    finally:
        for child in children:
            child.stop()
        pool.shutdown(cancel_futures=True)
        for child in children:
            child.close()


class Child:
    """A process of our own that inspects local files and ends when its pipe does. One thread at a time may ask it."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._stopped = False
        self._process = self._start()

    def inspect(self, uris: list[str]) -> list[Inspection]:
        """One Inspection per uri, in order; fewer once the child was stopped."""
        with suppress(OSError, ValueError):  # a broken pipe, half an answer
            return self._ask(uris)
        self.close()
        if self._stopped:
            return []
        self._process = self._start()
        if len(uris) == 1:
            return [Inspection(uris[0], fault="makes the image decoder crash; remove it")]
        return [found for uri in uris for found in self.inspect([uri])]

    def stop(self) -> None:
        """Kill the process, whatever it is doing; it is not started again."""
        self._stopped = True
        self._process.kill()

    def close(self) -> None:
        """Kill the process and free its pipes."""
        self._process.kill()
        with suppress(OSError), self._process:
            pass

    def _ask(self, uris: list[str]) -> list[Inspection]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(uris).encode() + b"\n")
        process.stdin.flush()
        return [Inspection(*found) for found in json.loads(process.stdout.readline())]

    def _start(self) -> "subprocess.Popen[bytes]":
        # -P: the caller's working folder must not shadow modules; a session of its own keeps the terminal's Ctrl-C away
        command = [sys.executable, "-P", "-c", self._program, str(Path(__file__).parents[1])]
        return subprocess.Popen(  # noqa: S603 (our own program)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )


def serve(look: Callable[[str], Inspection] = inspect) -> None:
    """The child's side: answer each line of standard input, a JSON list of uris, until it ends."""
    warnings.simplefilter("ignore")  # Pillow warns of oddities; the parent shows faults only
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what C libraries print must not get between the answers
    with suppress(BrokenPipeError):
        for line in sys.stdin:
            answers.write(json.dumps([look(uri) for uri in json.loads(line)]) + "\n")
            answers.flush()
