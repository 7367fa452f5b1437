"""Threads of the service: a few at a time, one that hangs keeps its place, and nobody waits for it at the end."""

import asyncio
import subprocess
import sys
import time
from contextvars import ContextVar
from functools import partial
from threading import Event, current_thread

import pytest

from alloop.service.threads import Threads

WITHIN_S = 10.0


def test_it_gives_what_the_work_gives_from_another_thread():
    assert asyncio.run(Threads(1).run(current_thread)) is not current_thread()


def test_what_the_work_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        asyncio.run(Threads(1).run(lambda: 1 / 0))


def test_after_a_failure_its_place_is_free():
    async def twice():
        threads = Threads(1)
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)
        return await asyncio.wait_for(threads.run(lambda: 7), WITHIN_S)

    assert asyncio.run(twice()) == 7


def test_the_work_sees_the_context_of_who_asked():
    name = ContextVar("name", default="nobody")

    async def ask():
        name.set("somebody")
        return await Threads(1).run(name.get)

    assert asyncio.run(ask()) == "somebody"


def test_no_more_than_allowed_run_at_once():
    running, most = set(), []

    def work(number):
        running.add(number)
        most.append(len(running))
        time.sleep(0.005)
        running.remove(number)

    async def all_of_them():
        threads = Threads(3)
        await asyncio.gather(*(threads.run(partial(work, number)) for number in range(12)))

    asyncio.run(all_of_them())
    assert len(most) == 12
    assert max(most) <= 3


def test_work_that_nobody_waits_for_any_more_keeps_its_place_until_it_ends():
    answers = Event()

    async def ask():
        threads = Threads(1)
        for wait in (threads.run(answers.wait), threads.run(lambda: "never begun")):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait, 0.05)
        answers.set()
        return await asyncio.wait_for(threads.run(lambda: "goes on"), WITHIN_S)

    try:
        assert asyncio.run(ask()) == "goes on"
    finally:
        answers.set()


def test_a_process_ends_though_some_work_hangs():
    program = (
        "import asyncio; from threading import Event; from alloop.service.threads import Threads\n"
        "async def ask():\n"
        "    try: await asyncio.wait_for(Threads(1).run(Event().wait), 0.1)\n"
        "    except TimeoutError: print('gone')\n"
        "asyncio.run(ask())"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=30, check=True, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("gone\n", "")
