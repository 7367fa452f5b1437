"""A refusal stands until the answer it is about was mended, taken back, or refused for another reason."""

import pytest

from alloop.nouns import Refusal

HERE, THERE = "batch-0000/labels.jsonl:1", "batch-0000/labels.jsonl:2"


def everywhere(where):
    return True


def refusals(loop):
    return list(loop.ledger.labels.refusals())


def refuse(loop, *pairs, **fields):
    loop.tell(refused=tuple(Refusal(*pair) for pair in pairs), **fields)


def test_a_refusal_that_is_not_repeated_by_a_tool_that_read_everything_is_forgotten(loop):
    refuse(loop, (HERE, "is no JSON"), (THERE, "is no JSON"), is_mended=everywhere)
    refuse(loop, (THERE, "is no JSON"), is_mended=everywhere)
    assert refusals(loop) == [(THERE, "is no JSON")]


def test_a_line_that_is_wrong_in_another_way_now_has_one_reason(loop):
    refuse(loop, (HERE, "is no JSON"), is_mended=everywhere)
    refuse(loop, (HERE, "has no sample"), is_mended=everywhere)
    assert refusals(loop) == [(HERE, "has no sample")]


def test_what_a_tool_did_not_look_at_again_stays(loop):
    refuse(loop, ("task 1", "empty"), ("task 2", "empty"))
    refuse(loop, is_mended=lambda where: where == "task 1")
    assert refusals(loop) == [("task 2", "empty")]


def test_another_tool_says_nothing_of_it(loop):
    refuse(loop, (HERE, "is no JSON"))
    refuse(loop, tool="other", is_mended=everywhere)
    assert refusals(loop) == [(HERE, "is no JSON")]


def test_a_place_with_a_very_long_name_is_found_again(loop):
    refuse(loop, ("x" * 500, "is no JSON"), is_mended=everywhere)
    refuse(loop, ("x" * 500, "is no JSON"), is_mended=everywhere)
    assert refusals(loop) == [("x" * 200, "is no JSON")]


def test_an_answer_of_nobody_stands_until_somebody_is_named(loop):
    loop.add("a")
    loop.ask("a")
    loop.tell(loop.label("a", annotator="", ref="1"), present=frozenset("1"), is_mended=everywhere)
    assert [where for where, _ in refusals(loop)] == ["1"]
    loop.tell(loop.label("a", annotator="ann", ref="1", minute=1), present=frozenset("1"), is_mended=everywhere)
    assert refusals(loop) == []


@pytest.mark.parametrize(("held", "left"), [("1", ["1"]), ("", [])])
def test_an_answer_that_was_not_told_again_stays_refused_while_its_tool_holds_it(loop, held, left):
    loop.add("a")
    loop.ask("a")
    loop.tell(loop.label("a", annotator="", ref="1"), present=frozenset("1"), is_mended=everywhere)
    loop.tell(present=frozenset(held), is_mended=everywhere)
    assert [where for where, _ in refusals(loop)] == left


def test_line_ten_comes_after_line_nine(loop):
    refuse(loop, *((f"batch-0000/labels.jsonl:{line}", "is no JSON") for line in (10, 9)))
    assert [where[-2:] for where, _ in refusals(loop)] == [":9", "10"]
