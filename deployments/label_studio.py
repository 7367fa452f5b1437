"""Label Studio from a virtual environment of its own, on this machine only and without calls to anybody else.

    python -m deployments.child deployments.label_studio PROGRAM FOLDER PORT

Its dependencies cannot be had beside Prefect's. Who may sign in stands in LABEL_STUDIO_USERNAME, _PASSWORD and _USER_TOKEN.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from alloop.errors import ConfigError
from deployments.demo_project import Keys
from deployments.processes import Part

__all__ = ["VARIABLE", "find_program", "label_studio_part", "sign_in"]

VARIABLE = "ALLOOP_LABEL_STUDIO_VENV"
USUAL = ".venv-label-studio"
SETTINGS = {
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "COLLECT_ANALYTICS": "False",
    "LATEST_VERSION_CHECK": "False",
    "FEATURE_FLAGS_OFFLINE": "True",
    "CONVERTER_DOWNLOAD_RESOURCES": "False",
    "DJANGO_DB": "sqlite",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "false",  # alloop's webhook is on this machine too
}


def find_program() -> Path:
    """Where Label Studio is installed; ConfigError when it is not."""
    program = Path(os.environ.get(VARIABLE) or USUAL).absolute() / "bin" / "label-studio"
    if not program.is_file():
        raise ConfigError(
            f"there is no {program}; install Label Studio with 'make demo-label-studio', or set {VARIABLE}"
        )
    return program


def sign_in(keys: Keys) -> Mapping[str, str]:
    """The variables that make their owner the administrator of a new server."""
    return {
        "LABEL_STUDIO_USERNAME": keys.email,
        "LABEL_STUDIO_PASSWORD": keys.password,
        "LABEL_STUDIO_USER_TOKEN": keys.token,
    }


def label_studio_part(program: Path, folder: Path, port: int, *, token: str) -> Part:
    """The server as a child; on a port that is taken it would move elsewhere, so whoever answers there must know the token."""

    def is_ready() -> bool:
        try:
            url, signed = f"http://127.0.0.1:{port}/api/current-user/whoami", {"Authorization": f"Token {token}"}
            return httpx.get(url, headers=signed, timeout=5).is_success
        except httpx.TransportError:
            return False

    module = ("deployments.label_studio", str(program), str(folder), str(port))
    return Part("label-studio", module, is_ready, stop_s=6)


def _serve(program: str, folder: str, port: str) -> int:
    """Run the server until it ends or SIGTERM; its exit status."""
    kept = {name: value for name, value in os.environ.items() if _is_for_it(name)}
    where = ["--internal-host", "127.0.0.1", "--port", port, "--data-dir", folder]
    env = {**SETTINGS, **kept, "LABEL_STUDIO_BASE_DATA_DIR": folder, "HOME": folder}
    process = subprocess.Popen([program, "start", "--no-browser", *where], env=env, stdin=subprocess.DEVNULL)  # noqa: S603
    stop: Callable[..., None] = lambda *_: process.terminate()  # noqa: E731
    signal.signal(signal.SIGTERM, stop)
    return process.wait()


def _is_for_it(name: str) -> bool:
    """Not PYTHONPATH above all: its own packages `tasks` would be ours."""
    return name.startswith("LABEL_STUDIO_") or name in ("PATH", "LANG", "TZ", "TMPDIR")


if __name__ == "__main__":
    sys.exit(_serve(*sys.argv[1:4]))
