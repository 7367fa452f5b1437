"""`alloop doctor`."""

import typer

from alloop.commands.shown import HERE, ConfigOption

__all__ = ["doctor"]


def doctor(config: ConfigOption = HERE) -> None:
    """Check everything that the loop stands on: each line is ok, or says what to do."""
    import os

    from alloop.doctor import diagnose

    findings = diagnose(config, prefect_api=os.environ.get("PREFECT_API_URL"))
    for finding in findings:
        print(f"{'ok ' if finding.ok else 'BAD'}  {finding.what}: {finding.says}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
