"""Images: only with a signature, only samples, and only the bytes that were added."""

import asyncio
import io
import os
from datetime import UTC, datetime, timedelta

import fsspec
import httpx
import numpy as np
import pytest
from PIL import Image

from alloop.clock import VirtualClock
from alloop.images import content_id
from alloop.ledger.samples import Refused, SampleFile
from alloop.nouns import Sample, Split
from alloop.service.app import create_app
from alloop.signing import Signer
from tests.service.conftest import KEY, SECRET, Caller, birds

NOW = datetime(2026, 11, 23, 16, tzinfo=UTC)
SIGNER = Signer("birds", KEY.encode())


def encoded(kind="PNG", *, grey=7):
    out = io.BytesIO()
    Image.new("L", (6, 4), grey).save(out, kind)
    return out.getvalue()


def add(ws, uri, raw, *, split=Split.POOL):
    sample = Sample(content_id(raw), str(uri), split=split)
    ws.ledger.samples.add([SampleFile(sample, 6, 4, len(raw), 1)], truths_are_labels=False)
    return sample.id


@pytest.fixture
def pool(ws, tmp_path):
    """Adds a file to the pool; its id."""

    def put(name="a.png", raw=None, **fields):
        raw = encoded() if raw is None else raw
        (tmp_path / name).write_bytes(raw)
        return add(ws, tmp_path / name, raw, **fields)

    return put


@pytest.fixture
def service(ws, tmp_path):
    return Caller(create_app(ws, clock=VirtualClock(tmp_path / "now", NOW)))


def path(sample, *, seconds=3600, signer=SIGNER):
    return signer.path(sample, expires=NOW + timedelta(seconds=seconds))


def test_a_signed_address_gives_the_very_bytes(service, pool):
    answer = service.get(path(pool()))
    assert (answer.status_code, answer.content) == (200, encoded())


def test_an_address_that_ends_like_a_picture_is_the_same_image(service, pool):
    answer = service.get(path(pool()).replace("?", ".jpg?"))
    assert (answer.status_code, answer.content) == (200, encoded())


def test_browsers_may_show_it_in_another_page_and_do_nothing_else_with_it(service, pool):
    headers = service.get(path(pool()), headers={"Origin": "http://label-studio"}).headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_it_is_cached_by_the_browser_alone_and_no_longer_than_its_address_is_good(service, pool):
    sample = pool()
    kept = [service.get(path(sample, seconds=s)).headers["Cache-Control"] for s in (60, 86400)]
    assert kept == ["private, max-age=60, immutable", "private, max-age=3600, immutable"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_the_type_is_that_of_the_bytes_whatever_the_name_says(service, pool, kind):
    answer = service.get(path(pool("a.html", encoded(kind))))
    assert answer.headers["Content-Type"] == f"image/{kind.lower()}"


def test_what_browsers_do_not_show_becomes_a_png(service, pool):
    answer = service.get(path(pool("a.tif", encoded("TIFF"))))
    assert answer.headers["Content-Type"] == "image/png"
    assert np.asarray(Image.open(io.BytesIO(answer.content))).tolist() == [[[7, 7, 7]] * 6] * 4


def test_without_a_signature_nothing_is_given(service, pool):
    assert service.get(f"/images/{pool()}").status_code == 403


def test_who_has_no_signature_does_not_learn_which_samples_there_are(service, pool):
    answers = [service.get(f"/images/{sample}?expires=1&signature=x") for sample in (pool(), "0" * 64)]
    assert answers[0].content == answers[1].content


def test_an_expired_address_is_refused(service, pool):
    answer = service.get(path(pool(), seconds=-1))
    assert answer.status_code == 403
    assert "expired 1 s ago" in answer.json()["detail"]


def test_an_address_of_another_sample_is_refused(service, pool):
    one, other = pool(), pool("b.png", encoded(grey=8))
    assert service.get(path(one).replace(one, other)).status_code == 403


def test_an_address_of_another_project_is_refused(service, pool):
    assert service.get(path(pool(), signer=Signer("bees", KEY.encode()))).status_code == 403


def test_the_webhook_secret_signs_no_image(service, pool):
    assert service.get(path(pool(), signer=Signer("birds", SECRET.encode()))).status_code == 403


def test_a_refusal_can_be_read_in_another_page_and_is_not_cached(service):
    headers = service.get(f"/images/{'0' * 64}").headers
    assert (headers["Access-Control-Allow-Origin"], headers["Cache-Control"]) == ("*", "no-store")


STRANGE = [
    "0" * 64,
    "A" * 64,
    "a" * 63,
    "%00",
    "a" * 63 + "%00",
    "..",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%2Fetc%2Fpasswd",
    "file:%2F%2F%2Fetc%2Fpasswd",
    "http:%2F%2F169.254.169.254%2Flatest",
    "'%20OR%201=1%20--",
]


@pytest.mark.parametrize("sample", STRANGE)
def test_what_is_no_sample_is_unknown_even_when_it_is_signed(service, sample):
    """A signature of ours on such a thing would be our own mistake; it opens nothing all the same."""
    named = httpx.URL(f"http://service/{sample}").path.removeprefix("/")
    query = path(named).partition("?")[2]
    assert service.get(f"/images/{sample}?{query}").status_code == 404


def test_a_path_of_the_pool_is_no_sample(service, pool, tmp_path):
    pool()
    uri = str(tmp_path / "a.png")
    query = path(uri).partition("?")[2]
    assert service.get(f"/images/{uri.replace('/', '%2F')}?{query}").status_code == 404


def test_a_sample_that_was_set_aside_is_unknown(service, pool, ws, tmp_path):
    sample = pool()
    ws.ledger.samples.set_aside([Refused(str(tmp_path / "a.png"), "changed", "has changed")])
    assert service.get(path(sample)).status_code == 404


def test_a_sample_of_the_holdout_can_be_shown(service, pool):
    assert service.get(path(pool(split=Split.HOLDOUT))).status_code == 200


def test_a_file_that_changed_is_not_given_out(service, pool, tmp_path):
    sample = pool()
    (tmp_path / "a.png").write_bytes(encoded(grey=8))
    assert service.get(path(sample)).status_code == 409


def test_a_file_that_became_a_link_to_another_is_not_given_out(service, pool, tmp_path):
    sample = pool()
    (tmp_path / "secret").write_text("root:x:0:0")
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").symlink_to(tmp_path / "secret")
    answer = service.get(path(sample))
    assert answer.status_code == 409
    assert "root" not in answer.text


def test_a_link_to_the_same_bytes_is_fine(service, pool, tmp_path):
    sample = pool()
    (tmp_path / "a.png").rename(tmp_path / "moved.png")
    (tmp_path / "a.png").symlink_to(tmp_path / "moved.png")
    assert service.get(path(sample)).status_code == 200


def test_of_a_file_that_grew_no_more_is_read_than_was_added(service, pool, tmp_path):
    sample = pool()
    with (tmp_path / "a.png").open("r+b") as file:
        file.truncate(1 << 40)  # a hole of 1 TiB
    assert service.get(path(sample)).status_code == 409


def test_a_pipe_is_not_waited_for(service, pool, tmp_path):
    sample = pool()
    (tmp_path / "a.png").unlink()
    os.mkfifo(tmp_path / "a.png")
    assert service.get(path(sample)).status_code == 410


def test_a_file_that_is_gone_is_told_without_its_path(service, pool, tmp_path):
    sample = pool()
    (tmp_path / "a.png").unlink()
    answer = service.get(path(sample))
    assert answer.status_code == 410
    assert str(tmp_path) not in answer.text


def test_a_remote_image_is_given_out_by_its_bytes(service, ws):
    raw = encoded("JPEG")
    with fsspec.open("memory://birds/a.jpg", "wb") as file:
        file.write(raw)
    assert service.get(path(add(ws, "memory://birds/a.jpg", raw))).content == raw


def test_a_remote_image_that_is_gone_is_told(service, ws):
    assert service.get(path(add(ws, "memory://birds/gone.jpg", encoded()))).status_code == 410


def test_storage_that_does_not_answer_is_told(pool, ws, tmp_path, monkeypatch):
    sample = pool()
    monkeypatch.setattr("alloop.service.images.READ_S", 0.0)
    app = create_app(ws, clock=VirtualClock(tmp_path / "now", NOW))
    assert Caller(app).get(path(sample)).status_code == 504


def test_many_at_once_are_all_given(service, pool):
    wanted = [("GET", path(pool(f"{grey}.png", encoded(grey=grey))), {}) for grey in range(20)]
    answers = service.together(wanted)
    assert [answer.content for answer in answers] == [encoded(grey=grey) for grey in range(20)]


def test_without_a_key_images_say_what_to_set(tmp_path):
    with birds(tmp_path, more="") as ws:
        answer = Caller(create_app(ws)).get(f"/images/{'0' * 64}")
    assert answer.status_code == 503
    assert "ALLOOP_SERVICE__SIGNING_KEY" in answer.json()["detail"]


def test_writing_is_not_offered(service, pool):
    sample = pool()
    assert [service(how, path(sample)).status_code for how in ("POST", "PUT", "DELETE")] == [405] * 3


def test_a_reader_that_hangs_up_leaves_the_others_alone(ws, pool, tmp_path):
    sample = pool()
    app = create_app(ws, clock=VirtualClock(tmp_path / "now", NOW))

    async def both():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service") as client:
            gone = [asyncio.create_task(client.get(path(sample))) for _ in range(20)]
            await asyncio.sleep(0.005)
            for task in gone:
                task.cancel()
            await asyncio.gather(*gone, return_exceptions=True)
            return await client.get(path(sample))

    assert asyncio.run(both()).status_code == 200
