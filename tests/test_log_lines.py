"""Every log line of a step says of which project, cycle and step it tells."""

import logging
import sys
from contextvars import copy_context
from threading import Thread

import pytest

from alloop.log_lines import at_step, lines_on_stderr

OURS = logging.getLogger("alloop.somewhere.deep")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_line_of_a_step_says_where_it_comes_from(caplog: pytest.LogCaptureFixture) -> None:
    with at_step("digits", 7, "retrain"):
        OURS.warning("the lease on %s is lost", "a step")
    assert said(caplog) == ["[digits/7 retrain] the lease on a step is lost"]


def test_programs_find_the_place_beside_the_text(caplog: pytest.LogCaptureFixture) -> None:
    with at_step("digits", 7, "retrain"):
        OURS.warning("slow")
    record = caplog.records[0].__dict__
    assert (record["project"], record["cycle"], record["stage"]) == ("digits", 7, "retrain")


def test_outside_a_step_a_line_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with at_step("digits", 7, "retrain"):
        pass
    OURS.warning("up")
    assert said(caplog) == ["up"]


def test_a_step_within_a_step_names_the_inner_one(caplog: pytest.LogCaptureFixture) -> None:
    with at_step("digits", 7, "retrain"):
        with at_step("scenes", 0, "score_pool"):
            OURS.warning("in")
        OURS.warning("out")
    assert said(caplog) == ["[scenes/0 score_pool] in", "[digits/7 retrain] out"]


@pytest.mark.parametrize("name", ["httpx", "alloopy", "prefect.alloop"])
def test_lines_of_others_stay_as_they_are(caplog: pytest.LogCaptureFixture, name: str) -> None:
    with at_step("digits", 7, "retrain"):
        logging.getLogger(name).warning("theirs")
    assert said(caplog) == ["theirs"]


def test_a_percent_sign_in_a_line_without_arguments_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    with at_step("digits", 7, "retrain"):
        OURS.warning("80 % are answered")
    assert said(caplog) == ["[digits/7 retrain] 80 % are answered"]


def test_a_thread_with_a_copy_of_the_context_is_in_the_step(caplog: pytest.LogCaptureFixture) -> None:
    with at_step("digits", 7, "retrain"):
        thread = Thread(target=copy_context().run, args=(OURS.warning, "renewed"))
        thread.start()
        thread.join()
    assert said(caplog) == ["[digits/7 retrain] renewed"]


def test_plain_lines_are_shown_on_standard_error_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    with lines_on_stderr(), at_step("digits", 7, "retrain"):
        OURS.info("done in %.1f s", 2)
        OURS.debug("nobody wants this")
    OURS.info("afterwards")
    assert capsys.readouterr() == ("", "[digits/7 retrain] done in 2.0 s\n")


def test_afterwards_logging_is_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("alloop")
    before = (logger.level, logger.propagate, list(logger.handlers))
    with lines_on_stderr():
        assert (logger.level, logger.propagate) == (logging.INFO, False)
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_lines_go_where_standard_error_is_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A progress bar puts itself there, and shows them above the bar."""
    with lines_on_stderr():
        monkeypatch.setattr(sys, "stderr", sys.stdout)
        OURS.info("seen")
    assert capsys.readouterr().out == "seen\n"
