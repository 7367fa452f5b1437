"""Tests of one group share what is dear to make, so they have to run on one worker."""

import os

import pytest


@pytest.mark.xdist_group("together")
def test_groups_are_kept_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist adds the group's name to the test's; with pytest 9.2 it did not, and shared nothing."""
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@together")
