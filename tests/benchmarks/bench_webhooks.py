"""How fast `alloop serve` takes webhooks in, on SQLite and on Postgres, and whether each genuine one is stored exactly once.

A real server process with a ledger on disk; deliveries of Label Studio in random order, a fifth of them duplicates and a
twentieth forged, over connections that stay open.

python tests/benchmarks/bench_webhooks.py --deliveries 2000
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psycopg
from sqlalchemy import select

from alloop.ledger.tables import HintRow
from alloop.workspace import open_workspace

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.ledger.conftest import postgres_database, postgres_server
from tests.live.alloop_processes import free_port, service

SECRET = "a-secret-for-measuring-only"
PROJECT = """
[project]
name = "bench"
labels = ["cat", "dog"]
[ledger]
url = "{url}"
[service]
port = {port}
webhook_secret = "{secret}"
"""
DUPLICATES, FORGED = 0.20, 0.05
FIRST = 10**7
"""The delivery that finds a service just started; its time is told apart."""


def body(number: int) -> bytes:
    """An annotation as Label Studio tells of it, about 3.6 kB like the ones that it was seen to send."""
    region = {"type": "choices", "from_name": "label", "to_name": "image", "value": {"choices": ["cat"]}}
    said = {
        "action": "ANNOTATION_CREATED",
        "annotation": {"id": number, "updated_at": "2026-11-23T16:01:46.593807Z", "result": [region] * 4},
        "project": {"id": 11, "token": "invitation", "label_config": "<View>" + "x" * 2400 + "</View>"},
        "task": {"id": number, "data": {"image": f"/images/{number}?expires=1&signature=ab", "item_id": str(number)}},
    }
    return json.dumps(said).encode()


def deliveries(count: int, seed: int) -> list[tuple[str, bytes]]:
    """(token, body) in random order; `count` in all."""
    dice = random.Random(seed)
    forged, again = round(FORGED * count), round(DUPLICATES * count)
    genuine = [body(number) for number in range(count - forged - again)]
    found = [(SECRET, raw) for raw in genuine + dice.choices(genuine, k=again)]
    found += [("not-the-secret", body(number)) for number in range(10**6, 10**6 + forged)]
    dice.shuffle(found)
    return found


def request(token: str, raw: bytes) -> bytes:
    """The delivery as bytes on the wire."""
    head = f"POST /webhooks/label-studio HTTP/1.1\r\nHost: bench\r\nX-Alloop-Token: {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


async def send_all(port: int, waiting: list[tuple[str, bytes]], connections: int) -> list[tuple[int, str, float]]:
    """(HTTP status, what became of it, seconds) of each delivery."""
    answers: list[tuple[int, str, float]] = []

    async def sender() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while waiting:
            wire = request(*waiting.pop())
            began = time.perf_counter()
            writer.write(wire)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            said = json.loads(await reader.readexactly(length))
            answers.append((int(head[9:12]), said.get("status", "refused"), time.perf_counter() - began))
        writer.close()

    await asyncio.gather(*(sender() for _ in range(connections)))
    return answers


def wait_for_the_disk(server: str) -> None:
    """Make a Postgres commit to the disk, which the one of the tests need not."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = on")
        connection.execute("SELECT pg_reload_conf()")
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    with psycopg.connect(server) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def measure(name: str, url: str, count: int, connections: int) -> None:
    """Print the figures of one run on a new ledger at `url`."""
    with tempfile.TemporaryDirectory(prefix="bench-webhooks-") as home:
        folder, port = Path(home), free_port()
        (folder / "alloop.toml").write_text(PROJECT.format(url=url, port=port, secret=SECRET))
        sent = deliveries(count, seed=connections)
        unique = len({raw for token, raw in sent if token == SECRET})
        with service(folder, port):
            ((_, _, first),) = asyncio.run(send_all(port, [(SECRET, body(FIRST))], 1))
            began = time.perf_counter()
            answers = asyncio.run(send_all(port, list(sent), connections))
            took = time.perf_counter() - began
        with open_workspace(folder) as ws, ws.ledger.database.read() as session:
            keys = session.scalars(select(HintRow.key)).all()
        became = Counter((status, what) for status, what, _ in answers)
        assert len(keys) - 1 == len(set(keys)) - 1 == unique == became[200, "stored"], (len(keys), unique, became)
        assert became[401, "refused"] == round(FORGED * count), became
        assert sum(became.values()) == count, became
    times = sorted(1000 * seconds for _, _, seconds in answers)
    print(
        f"{name:9} {connections:3} connections  {count / took:7.0f} deliveries/s   "
        f"answer p50 {statistics.median(times):6.1f} ms  p99 {times[int(0.99 * count)]:6.1f} ms  "
        f"worst {times[-1]:6.1f} ms  (the very first {1000 * first:.0f} ms)   {unique} genuine, each stored once; "
        f"{became[200, 'duplicate']} duplicates, {became[401, 'refused']} forged"
    )


def main() -> None:
    """Measure on both databases, with few and with many senders."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--deliveries", type=int, default=2000)
    options.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    chosen = options.parse_args()
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    print(f"load of this machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    for connections in chosen.connections:
        measure("SQLite", "sqlite:///ledger.db", chosen.deliveries, connections)
    with postgres_server() as server:
        wait_for_the_disk(server)
        for connections in chosen.connections:
            with postgres_database(server) as url:
                measure("Postgres", url, chosen.deliveries, connections)


if __name__ == "__main__":
    main()
