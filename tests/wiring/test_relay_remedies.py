"""What the relay does for a cycle, from how its attempt and its run look."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.objects import StateType

from alloop.ledger.attempts import Attempt
from tasks.remedies import Remedy, remedy, revival_delay_s
from tasks.runs import Seen

STATES = list(StateType)


def attempt(**changes: Any) -> Attempt:
    given: dict[str, Any] = {"run": "a run", "claimed": False, "alive": False, "silent_s": 600.0}
    return Attempt(0, 1, done=3, **(given | changes))


@pytest.mark.parametrize(
    ("state", "for_s", "claimed", "silent_s", "labelled", "does"),
    [
        (StateType.PAUSED, 600, False, 600, False, Remedy.LEAVE),
        (StateType.PAUSED, 600, False, 600, True, Remedy.RESUME),
        (StateType.PAUSED, 600, True, 601, True, Remedy.RESUME),
        (StateType.SCHEDULED, 600, False, 600, True, Remedy.LEAVE),
        (StateType.PENDING, 10, False, 600, True, Remedy.LEAVE),
        (StateType.PENDING, 61, False, 600, True, Remedy.BURY),
        (StateType.RUNNING, 10, False, 600, True, Remedy.LEAVE),
        (StateType.RUNNING, 10, True, 600, True, Remedy.LEAVE),
        (StateType.RUNNING, 10, True, 5, True, Remedy.BURY),
        (StateType.RUNNING, 600, False, 5, True, Remedy.LEAVE),
        (StateType.RUNNING, 600, False, 599, True, Remedy.BURY),
        (StateType.CRASHED, 1, True, 1, False, Remedy.REVIVE),
        (StateType.FAILED, 1, False, 1, False, Remedy.REVIVE),
        (StateType.COMPLETED, 1, False, 1, False, Remedy.REVIVE),
        (StateType.CANCELLING, 600, False, 600, True, Remedy.LEAVE),
        (StateType.CANCELLED, 600, False, 600, True, Remedy.LEAVE),
    ],
)
def test_each_state_has_its_remedy(
    state: StateType, for_s: float, claimed: bool, silent_s: float, labelled: bool, does: Remedy
) -> None:
    seen = Seen(state, for_s)
    assert remedy(attempt(claimed=claimed, silent_s=silent_s), seen, labelled=labelled) is does


def test_a_run_that_prefect_does_not_know_is_replaced() -> None:
    assert remedy(attempt(), None, labelled=False) is Remedy.REVIVE


def test_an_attempt_without_a_run_gets_one() -> None:
    assert remedy(attempt(run=None), None, labelled=False) is Remedy.START


@given(st.sampled_from(STATES), st.floats(0, 1e6), st.floats(0, 1e6), st.booleans())
def test_nothing_is_ever_done_to_a_run_that_lives(state: StateType, for_s: float, silent_s: float, done: bool) -> None:
    living = attempt(alive=True, claimed=True, silent_s=silent_s)
    assert remedy(living, Seen(state, for_s), labelled=done) is Remedy.LEAVE


@given(st.sampled_from(STATES), st.floats(0, 1e6), st.floats(0, 1e6), st.booleans())
def test_nothing_is_resumed_before_its_batch_is_closed(
    state: StateType, for_s: float, silent_s: float, claimed: bool
) -> None:
    seen = Seen(state, for_s)
    assert remedy(attempt(claimed=claimed, silent_s=silent_s), seen, labelled=False) is not Remedy.RESUME


@pytest.mark.parametrize(("futile", "delay_s"), [(0, 0), (1, 0), (2, 5), (3, 15), (4, 35), (99, 3600)])
def test_the_first_revival_comes_at_once_and_the_next_later_and_later(futile: int, delay_s: float) -> None:
    assert revival_delay_s(futile, 5) == delay_s
