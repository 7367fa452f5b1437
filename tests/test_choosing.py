"""How a batch is divided between the strategy and chance."""

import pytest

from alloop.choosing import control_size, is_blind
from alloop.sections import LoopSection


@pytest.mark.parametrize(
    ("share", "nominal", "control"),
    [(0.1, 500, 50), (0.1, 100, 20), (0.1, 50, 10), (0.25, 40, 10), (0.0, 500, 0), (0.1, 0, 0)],
)
def test_a_batch_has_enough_random_samples_to_say_something(share: float, nominal: int, control: int) -> None:
    assert control_size(LoopSection(control_share=share), nominal) == control


def test_half_of_all_samples_would_be_blind_whoever_asks() -> None:
    blind = [is_blind(f"{'0' * 63}{digit:x}") for digit in range(16)]
    assert sum(blind) == 8
