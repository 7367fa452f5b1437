"""Runs a module as a child of the supervisor: it ends with its parent, however that ends.

    python -m deployments.child MODULE [ARGUMENT…]

The standard input is a pipe that only the parent holds. When it ends, also because the parent was killed with -9, the
child gets SIGTERM as on an orderly stop, and is killed with everything it started if that does not help.
"""

import os
import runpy
import signal
import sys
from threading import Thread, Timer

__all__ = ["end_with_parent"]

GRACE_S = 8.0


def end_with_parent() -> None:
    """Watch the standard input from now on. This process must lead a process group of its own."""
    Thread(target=_leave_at_end, daemon=True).start()


def _leave_at_end() -> None:
    sys.stdin.buffer.read()
    last = Timer(GRACE_S, os.killpg, [os.getpgrp(), signal.SIGKILL])
    last.daemon = True
    last.start()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """The command line."""
    end_with_parent()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
