"""What the commands need that run through Prefect: the flows beside the package, and a Prefect that keeps quiet."""

import os
import sys
from pathlib import Path

__all__ = ["has_flows", "quiet_prefect"]


def has_flows() -> bool:
    """Whether this is a checkout or the image, where the flows lie beside the package; they can be imported then."""
    beside = Path(__file__).parents[2]
    if not (beside / "flows" / "cycle.py").is_file():
        return False
    if str(beside) not in sys.path:
        sys.path.insert(0, str(beside))
    return True


def quiet_prefect() -> None:
    """No telemetry, and no log lines between ours; whoever set these variables has the last word."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
