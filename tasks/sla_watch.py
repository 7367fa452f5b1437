"""A look at the clocks of one project."""

from datetime import datetime
from pathlib import Path

import httpx
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import PrefectException

from alloop.announce import Message
from alloop.errors import Transient
from alloop.tables import flag_line
from alloop.watch import watch
from alloop.workspace import open_workspace
from tasks.run_page import TAG, show_run
from tasks.step import step

__all__ = ["look_at_clocks", "put_up"]


@step(name="look-at-clocks", timeout_seconds=900)
def look_at_clocks(config: str) -> list[str]:
    """Raise and tell what is news: a sentence each."""
    with open_workspace(Path(config)) as ws:
        project = ws.config.project.name
        show_run(f"look-at-{project}", (TAG, f"project:{project}"))
        flags = watch(ws, ws.clock.now(), channels={"artifact": put_up})
    return [f"cycle {flag.cycle}: {flag_line(flag)}" for flag in flags]


def put_up(message: Message) -> None:
    """A page in the Prefect UI; those of a project stand under one key, as versions."""
    raised = datetime.fromisoformat(message.at)
    page = f"# {message.title}\n\n{message.text[:1].upper()}{message.text[1:]}.\n\nRaised {raised:%d %b %Y %H:%M} UTC."
    key = f"alloop-{message.project.replace('_', '-')}-sla"
    try:
        create_markdown_artifact(page, key=key, description=message.title)
    except (PrefectException, httpx.HTTPError) as error:
        raise Transient(f"Prefect did not take the page ({type(error).__name__}); it is put up again") from error
