"""People hear of their answers that cannot be used, where they look, and for as long as that is so."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alloop.cli import app
from alloop.errors import LabelsPending
from alloop.nouns import Refusal
from alloop.refused_words import refused_words
from tests.small_project import small_project, write_images


def test_one_refusal_is_told_as_it_is():
    assert (
        refused_words([Refusal("labels.jsonl:1", "is no JSON")])
        == "1 answer cannot be used: labels.jsonl:1: is no JSON"
    )


def test_of_several_refusals_the_first_is_told():
    refusals = [Refusal(f"labels.jsonl:{line}", "is no JSON") for line in (1, 2, 3)]
    assert refused_words(refusals) == "3 answers cannot be used, the first: labels.jsonl:1: is no JSON"


def test_where_nothing_is_refused_nothing_is_told():
    assert refused_words([]) == ""


@dataclass
class People:
    """A batch in a folder, and the commands that whoever labels it types."""

    root: Path

    def run(self):
        """What `alloop run --no-wait` says while answers are missing."""
        done = CliRunner().invoke(app, ["run", "--direct", "--no-wait", "--config", str(self.root)])
        assert isinstance(done.exception, LabelsPending), done.output
        return str(done.exception)

    def status(self, *options):
        return CliRunner().invoke(app, ["status", *options, "--config", str(self.root)]).stdout

    def report(self):
        CliRunner().invoke(app, ["report", "--config", str(self.root), "--out", str(self.root / "report.html")])
        return (self.root / "report.html").read_text()

    def answer(self, *labels):
        """A line each for the first samples of the batch."""
        folder = self.root / "annotation" / "batch-0000"
        samples = [json.loads(line)["sample"] for line in (folder / "tasks.jsonl").read_text().splitlines()]
        lines = [json.dumps({"sample": sample, "label": label}) for sample, label in zip(samples, labels, strict=False)]
        (folder / "labels.jsonl").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def people(tmp_path):
    people = People(tmp_path / "p")
    with small_project(people.root, write_images(tmp_path / "data")):
        pass
    settings = people.root / "alloop.toml"
    settings.write_text(settings.read_text().replace('tool = "simulated"', 'tool = "folder"'))
    assert re.match(r"0 of \d+ samples of cycle 0 are answered; label the rest", people.run())
    return people


TOLD = (
    "2 answers cannot be used, the first: batch-0000/labels.jsonl:2: "
    'label "nine" is not in the label set; use one of "0", "1", "2", "3"'
)


def test_refused_answers_are_told_by_run_status_and_report(people):
    people.answer("0", "nine", "1", "ten")
    assert re.match(rf"2 of \d+ samples of cycle 0 are answered \({re.escape(TOLD)}\); label the rest", people.run())
    assert f"refused   {TOLD}\n" in people.status()
    assert [one["where"][-2:] for one in json.loads(people.status("--json"))["refusals"]] == [":2", ":4"]
    assert "labels.jsonl:2" in people.report()


def test_a_refused_answer_that_was_mended_is_told_nowhere(people):
    people.answer("0", "nine", "1", "ten")
    people.run()
    people.answer("0", "0", "1", "1")
    assert re.match(r"4 of \d+ samples of cycle 0 are answered; label the rest", people.run())
    assert "refused" not in people.status()
    assert json.loads(people.status("--json"))["refusals"] == []
    assert "labels.jsonl" not in people.report()


def test_half_a_last_line_is_told_when_nobody_goes_on_writing_it(people):
    people.answer("0")
    labels = people.root / "annotation" / "batch-0000" / "labels.jsonl"
    with labels.open("a") as file:
        file.write('{"sample": "')
    assert "cannot be used" not in people.run()
    os.utime(labels, (1000, 1000))
    assert '(1 answer cannot be used: batch-0000/labels.jsonl:2: "{\\"sample\\": \\"" is not JSON' in people.run()
