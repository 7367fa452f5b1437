"""Prefect's server with its user interface, in one process: `prefect server start` is two, and one of them may be left over.

python -m deployments.server
"""

import uvicorn
from prefect.settings import get_current_settings

__all__: list[str] = []


def main() -> None:
    """Serve at PREFECT_SERVER_API_HOST and _PORT until SIGTERM."""
    api = get_current_settings().server.api
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host=api.host,
        port=api.port,
        log_level="warning",
        lifespan="on",
        timeout_graceful_shutdown=2,
        timeout_keep_alive=api.keepalive_timeout,
    )


if __name__ == "__main__":
    main()
