"""The command line: `alloop …`. Heavy imports happen inside the commands, so that `alloop --help` is quick."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alloop.commands.backtest import backtest
from alloop.commands.checkout import has_flows, quiet_prefect
from alloop.commands.cycle import cycle_cancel, cycle_pause, cycle_replay, cycle_resume
from alloop.commands.demo import demo
from alloop.commands.deploy import deploy
from alloop.commands.doctor import doctor
from alloop.commands.export import export
from alloop.commands.model import model_rollback
from alloop.commands.pool import pool_add, pool_drop, pool_status
from alloop.commands.serve import assist, serve
from alloop.commands.shown import HERE, ConfigOption, columns, print_table
from alloop.commands.up import up
from alloop.commands.usage import UsageFault, usage_sentence
from alloop.errors import AlloopError, ConfigError, LabelsPending

if TYPE_CHECKING:
    from alloop.nouns import Progress
    from alloop.workspace import Workspace

__all__ = ["main"]

PENDING = 3
"""The exit code of `run --no-wait` while people are still labelling."""
INTERRUPTED = 130
"""The exit code after Ctrl-C, which typer turns the interrupt into."""

app = typer.Typer(
    name="alloop",
    help="The operational loop of active learning for computer vision.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
pool = typer.Typer(help="The images to learn from.", no_args_is_help=True)
app.add_typer(pool, name="pool")
cycle = typer.Typer(help="One turn of the loop.", no_args_is_help=True)
app.add_typer(cycle, name="cycle")

model = typer.Typer(help="The models that were trained.", no_args_is_help=True)
app.add_typer(model, name="model")

command: Callable[..., None]
for command in (backtest, demo, deploy, doctor, export, serve, assist, up):
    app.command()(command)
for group, name, command in (
    (pool, "add", pool_add),
    (pool, "drop", pool_drop),
    (pool, "status", pool_status),
    (cycle, "pause", cycle_pause),
    (cycle, "resume", cycle_resume),
    (cycle, "cancel", cycle_cancel),
    (cycle, "replay", cycle_replay),
    (model, "rollback", model_rollback),
):
    group.command(name)(command)


def main() -> None:
    """Run a command; an error is one sentence and exit code 1, and a traceback only with --debug."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads made a 2 s fit take 85 s on a busy machine
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    else:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # an error there is a traceback
    try:
        code = app(prog_name="alloop", standalone_mode=False)
    except LabelsPending as pending:
        print(f"alloop: {pending}, then run this again", file=sys.stderr)
        sys.exit(PENDING)
    except UsageFault as fault:
        told = usage_sentence(fault)
        print(f"alloop: {told}" if told else "", end="\n" if told else "", file=sys.stderr)
        sys.exit(fault.exit_code)
    except Exception as error:
        if debug:
            raise
        print(f"alloop: {_sentence(error)}", file=sys.stderr)
        sys.exit(1)
    if code == INTERRUPTED:
        print("alloop: stopped; run the same command again to go on", file=sys.stderr)
    sys.exit(code)


def _sentence(error: Exception) -> str:
    if isinstance(error, AlloopError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used ({error.strerror}); check the path and its permissions"
    told = " ".join(str(error).split())
    return f"this was not expected: {type(error).__name__}: {told[:300]}; the same command with --debug shows where"


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to make a new project.")]) -> None:
    """Write a commented alloop.toml to start from."""
    target = folder / "alloop.toml"
    if target.exists():
        raise ConfigError(f"{target} is there already; edit it, or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    text = Path(__file__).with_name("template.toml").read_text(encoding="utf-8")
    target.write_text(text, encoding="utf-8")
    print(f"wrote {target}; set name and labels in it, then: alloop pool add IMAGES --config {target}")


@app.command()
def run(
    config: ConfigOption = HERE,
    cycles: Annotated[int, typer.Option(min=1, help="How many cycles to walk, an open one included.")] = 1,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Leave with exit code 3 while labels are missing.")
    ] = False,
    go_on: Annotated[bool, typer.Option("--continue", help="Go on although the loop holds.")] = False,
    direct: Annotated[bool, typer.Option("--direct", help="Without Prefect: no server, no retries, no UI.")] = False,
) -> None:
    """Walk the loop here and now; killed and run again, it goes on where it was."""
    from alloop.cycle import open_cycle
    from alloop.log_lines import lines_on_stderr
    from alloop.nouns import Action
    from alloop.progress import shown_progress
    from alloop.summary import summarise
    from alloop.tables import cost_lines, cycle_table
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws, shown_progress() as progress, lines_on_stderr():
        if go_on and not ws.ledger.cycles.go_on():
            print("there is no decision to go on from; the loop just runs", file=sys.stderr)
        open_cycle(ws)  # what cannot run is refused before Prefect starts
        with _walked_directly() if direct or not has_flows() else _walked_by_prefect(progress) as walk:
            for _ in range(cycles):
                decision = walk(ws.telling(progress), open_cycle(ws), not no_wait)
                if decision.action in (Action.HOLD, Action.STOP):
                    break
        summary = summarise(ws)
    print_table(cycle_table(summary, columns=columns()))
    for line in cost_lines(summary):
        print(line)
    print(decision.reason)


Walk = Callable[["Workspace", int, bool], Any]


@contextmanager
def _walked_directly() -> Iterator[Walk]:
    from alloop.cycle import walk

    yield lambda ws, cycle, wait: walk(ws, cycle, wait=wait)


@contextmanager
def _walked_by_prefect(progress: "Progress") -> Iterator[Walk]:
    """Walk through Prefect, whose server is started and stopped with this process unless PREFECT_API_URL names one."""
    quiet_prefect()
    progress("starting Prefect", 0, 0)
    from alloop.asking import labels_pending
    from alloop.cycle import decision_of
    from flows.cycle import run_cycle
    from flows.server import prefect_api

    def walk(ws: "Workspace", cycle: int, wait: bool) -> Any:
        done = run_cycle(str(ws.config.file), ws.config.project.name, cycle, wait=wait)
        if done is None:
            raise labels_pending(ws, cycle)
        return decision_of(ws, cycle)

    with prefect_api():
        yield walk


@app.command()
def status(
    config: ConfigOption = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell where the loop stands: open cycle, clocks, champion, queue."""
    import json

    from alloop.summary import summarise
    from alloop.tables import cycle_table, stage_lines
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        summary = summarise(ws)
    if as_json:
        print(json.dumps(summary.to_json(), indent=2))
        return
    for line in stage_lines(summary):
        print(line)
    if summary.cycles:
        print_table(cycle_table(summary, columns=columns()))


@app.command()
def report(
    config: ConfigOption = HERE,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
) -> None:
    """Write one self-contained HTML page with curve, batches and decisions."""
    from alloop.report import write_report
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        print(f"wrote {write_report(ws, out)}")


@app.command()
def version() -> None:
    """Tell the version."""
    from alloop import __version__

    print(__version__)
