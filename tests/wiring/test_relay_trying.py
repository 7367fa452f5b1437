"""The relay goes on after what alloop and the disk throw at it, and says each thing once."""

import pytest

from alloop.errors import LedgerBusy, ToolUnavailable
from deployments.relay import Trying


def told(caplog: pytest.LogCaptureFixture, *errors: Exception | None) -> list[str]:
    trying = Trying()
    for error in errors:
        with trying("runs"):
            if error is not None:
                raise error
    return caplog.messages


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), LedgerBusy("busy"), ToolUnavailable("away")])
def test_it_goes_on_and_says_what_went_wrong(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    assert told(caplog, error) == [str(error)]


def test_the_same_trouble_with_another_temporary_file_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    full = [OSError(28, "No space left on device", f".{number}.tmp") for number in range(3)]
    assert told(caplog, *full) == ["[Errno 28] No space left on device: '.0.tmp'"]


def test_other_trouble_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    assert len(told(caplog, OSError(28, "No space left on device"), OSError(30, "Read-only file system"))) == 2


def test_trouble_that_comes_back_is_said_again(caplog: pytest.LogCaptureFixture) -> None:
    assert len(told(caplog, LedgerBusy("busy"), None, LedgerBusy("busy"))) == 2


def test_a_fault_of_the_program_is_not_hidden(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        told(caplog, ZeroDivisionError())
