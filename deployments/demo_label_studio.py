"""The loop with Label Studio, to be tried out: `make demo-label-studio`.

    python -m deployments.demo_label_studio [--out DIR] [--simulate] [--no-webhook]

Label Studio, Prefect's server and `alloop serve` run as children; each cycle is a flow run in this process. A person labels
in the browser, cycle after cycle until Ctrl-C; with --simulate a program labels one batch, and the demo ends.
"""

import _thread
import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from alloop.commands.checkout import quiet_prefect
from alloop.config import load_config
from alloop.cycle import decision_of, open_cycle, walk
from alloop.errors import AlloopError, LoopError
from alloop.progress import shown_progress
from alloop.workspace import Workspace, open_workspace
from deployments.demo_people import answers_to, label_everything, project_number
from deployments.demo_project import TITLE, Keys, fill_pool, free_port, keys_of, make_project, truths_of
from deployments.demo_servers import answers, running
from deployments.label_studio import find_program, label_studio_part, sign_in
from deployments.processes import Part

__all__ = ["demo"]

BATCH = 20
POLL_S = 30.0
LOOK_S = 0.2
DRAIN_S = 10.0

People = Callable[[Workspace, int], None]
"""What happens once the batch of a cycle is in Label Studio's queue."""


def demo(out: Path, *, batch: int, simulate: bool, webhook: bool) -> None:
    """Run everything in the folder `out` until Ctrl-C, or with `simulate` for one cycle."""
    program, keys = find_program(), keys_of(out)
    config = make_project(out, batch=batch, poll_s=POLL_S)
    prefect = f"http://127.0.0.1:{free_port()}"
    os.environ.update(_environment(keys, out, prefect, webhook=webhook))
    quiet_prefect()
    settings = load_config(config)
    label_studio, service = settings.annotation.label_studio.url, settings.service
    parts = (
        label_studio_part(program, out / "label-studio", _port(label_studio), token=keys.token),
        Part("prefect", ("deployments.server",), answers(f"{prefect}/api/health"), stop_s=4),
        Part(
            "service",
            ("alloop", "serve", "--config", str(config)),
            answers(f"http://{service.host}:{service.port}/readyz"),
            stop_s=2,
        ),
    )
    people = Simulated(truths_of(out), label_studio, keys) if simulate else None
    with shown_progress() as progress, running(parts, out / "logs", sign_in(keys)) as wait:
        progress("starting Label Studio, Prefect and alloop serve", 0, 0)
        fill_pool(config)
        wait()
        _train_first(config)
        print(f"Prefect       {prefect}/runs", flush=True)
        print(f"Label Studio  {label_studio}  {keys.email}  {keys.password}", flush=True)
        if people is not None:
            _turn(config, people)
            people.tell(config)
        while people is None:
            _turn(config, _invite(label_studio, keys))


def _environment(keys: Keys, out: Path, prefect: str, *, webhook: bool) -> Mapping[str, str]:
    secret = {"ALLOOP_SERVICE__WEBHOOK_SECRET": keys.webhook_secret} if webhook else {}
    return secret | {
        "ALLOOP_ANNOTATION__LABEL_STUDIO__TOKEN": keys.token,
        "ALLOOP_SERVICE__SIGNING_KEY": keys.signing_key,
        "PREFECT_HOME": str(out / "prefect"),
        "PREFECT_API_URL": f"{prefect}/api",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(_port(prefect)),
    }


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _train_first(config: Path) -> None:
    """Cycle 0, on the labels that came with the digits: the champion that chooses and pre-labels the first batch."""
    with open_workspace(config) as ws:
        if ws.ledger.models.champion() is None:
            walk(ws, open_cycle(ws), wait=True)


def _turn(config: Path, people: People) -> None:
    """One cycle as a flow run, while `people` see to its batch."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    from flows.cycle import run_cycle

    with open_workspace(config) as ws:
        cycle, project = open_cycle(ws), ws.config.project.name
    beside = Beside(config, cycle, people)
    beside.start()
    try:
        run_cycle(str(config), project, cycle)
    except KeyboardInterrupt:
        beside.check()
        raise
    finally:
        beside.over.set()
        beside.join()
        APILogWorker.drain_all(timeout=DRAIN_S)  # what is not sent yet is lost with the server
        EventsWorker.drain_all(timeout=DRAIN_S)
    with open_workspace(config) as ws:
        print(f"cycle {cycle}: {decision_of(ws, cycle).reason}", flush=True)


class Beside(Thread):
    """Waits until a batch is pushed, then lets people begin; what goes wrong there ends the flow run too."""

    def __init__(self, config: Path, cycle: int, people: People) -> None:
        super().__init__(name="people", daemon=True)
        self._config, self._cycle, self._people = config, cycle, people
        self._fault: Exception | None = None
        self.over = Event()

    def run(self) -> None:
        """The thread's work."""
        try:
            with open_workspace(self._config) as ws:
                while not self.over.wait(LOOK_S):
                    stages = {stage.step: stage for stage in ws.ledger.steps.of(self._cycle)}
                    if "push_to_annotation" in stages and stages["push_to_annotation"].finished_at:
                        self._people(ws, self._cycle)
                        return
        except Exception as error:  # handed over to the main thread, whatever it is
            self._fault = error
            _thread.interrupt_main()

    def check(self) -> None:
        """LoopError when something went wrong."""
        if self._fault is not None:
            told = f"{type(self._fault).__name__}: {self._fault}"
            raise LoopError(
                f"nobody could be asked to label ({told}); read the logs beside alloop.toml"
            ) from self._fault


def _invite(url: str, keys: Keys) -> People:
    """Tell a person where to label."""

    def invite(ws: Workspace, cycle: int) -> None:
        number, asked = project_number(url, keys.token, TITLE), len(ws.ledger.batches.get(cycle).items)
        print(
            f"cycle {cycle}: {asked} images wait at {url}/projects/{number}/data ; press 'Label All Tasks' there. "
            "After the last one retraining starts: see it in Prefect. Ctrl-C ends everything",
            flush=True,
        )

    return invite


class Simulated:
    """Somebody who knows every digit and labels a whole batch at once."""

    def __init__(self, truths: Mapping[str, str], url: str, keys: Keys) -> None:
        self._truths, self._url, self._keys = truths, url, keys
        self._cycle, self._last = 0, datetime.min.replace(tzinfo=UTC)

    def __call__(self, ws: Workspace, cycle: int) -> None:
        """Label the batch of a cycle."""
        answers = answers_to(ws.ledger.batches.get(cycle), self._truths)
        self._cycle, self._last = cycle, label_everything(self._url, self._keys.token, TITLE, answers)

    def tell(self, config: Path) -> None:
        """Print how long after the last label it was noticed, and retraining began, by the ledger's clock."""
        with open_workspace(config) as ws:
            stages = {stage.step: stage for stage in ws.ledger.steps.of(self._cycle)}
        closed = stages["wait_for_labels"].finished_at
        assert closed is not None
        noticed_s = (closed - self._last).total_seconds()
        began_s = (stages["retrain"].started_at - self._last).total_seconds()
        print(f"batch closed {noticed_s:.1f} s and retraining begun {began_s:.1f} s after the last label", flush=True)


def main() -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deployments.demo_label_studio", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-label-studio-out"), help="where to put everything")
    parser.add_argument("--simulate", action="store_true", help="let a program label, and end after one cycle")
    parser.add_argument("--no-webhook", action="store_true", help="let the loop find answers on its timer only")
    parser.add_argument("--batch", type=int, default=BATCH, help="how many images a cycle asks for, in a new folder")
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        demo(asked.out.absolute(), batch=asked.batch, simulate=asked.simulate, webhook=not asked.no_webhook)
    except KeyboardInterrupt:
        return 130
    except AlloopError as error:
        print(f"alloop: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
