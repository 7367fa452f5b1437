import io
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alloop.curves import Curve, Mark, Saving, curve_of, saving
from alloop.errors import ConfigError, CycleClosed
from alloop.figures import THUMBNAIL, learning_curve, stage_clock, thumbnail, wasted_slots
from alloop.gallery import show_batch
from alloop.nouns import Lane
from alloop.report import compare, cycle_markdown, headline, verdict, write_report
from alloop.summary import Choosing, summarise
from alloop.workspace import Workspace
from tests.small_project import FOLDER, run_cycles, small_project, write_images


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Workspace]]:
    root = tmp_path_factory.mktemp("report")
    manifest = write_images(root / "data")
    loop = small_project(root / "loop", manifest, more="[sla]\ncycle_hours = 2.5")
    with loop as ws, small_project(root / "random", manifest, ladder=("random",)) as baseline:
        run_cycles(ws, 3)
        run_cycles(baseline, 3)
        yield ws, baseline


@pytest.fixture(scope="module")
def page(pair: tuple[Workspace, Workspace], tmp_path_factory: pytest.TempPathFactory) -> str:
    ws, baseline = pair
    path = tmp_path_factory.mktemp("page") / "deep" / "report.html"
    assert write_report(ws, path, baseline=baseline) == path
    assert list(path.parent.iterdir()) == [path]
    return path.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every tag with its attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_nothing_is_fetched(page: str) -> None:
    found = Tags(page).tags
    sources = [attrs["src"] for _, attrs in found if "src" in attrs]
    links = [attrs["href"] for _, attrs in found if "href" in attrs]
    assert all(str(source).startswith("data:image/") for source in sources)
    assert all(str(link).startswith("#cycle-") for link in links)
    assert not {tag for tag, _ in found} & {"script", "link", "iframe", "object"}
    assert "url(" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_a_file_name_is_never_markup(page: str) -> None:
    tags = Tags(page)
    assert "svg" not in {tag for tag, _ in tags.tags}
    assert f"{FOLDER}/broken.png" in tags.text
    assert any(FOLDER in str(attrs.get("title")) for tag, attrs in tags.tags if tag == "img")


def test_every_number_of_the_cycles_is_there(page: str, pair: tuple[Workspace, Workspace]) -> None:
    text = Tags(page).text
    for row in summarise(pair[0]).cycles:
        assert row.evaluation is not None
        assert row.decision is not None
        assert f"{row.evaluation.points:.1f}" in text
        assert f"[{row.evaluation.low:.1f}, {row.evaluation.high:.1f}]" in text
        assert row.decision.reason[1:] in text
        if row.lift is not None:
            assert f"[{row.lift.low:+.1f}, {row.lift.high:+.1f}]" in text


def test_the_report_opens_with_what_was_achieved(page: str, pair: tuple[Workspace, Workspace]) -> None:
    text = Tags(page).text
    summary, baseline = (summarise(ws) for ws in pair)
    assert headline(summary) in text
    assert compare(summary, baseline) in text
    assert text.index(headline(summary)) < text.index("Learning curve")


def test_what_was_set_aside_and_what_was_late_is_told(page: str) -> None:
    text = Tags(page).text
    assert "1 × bad image" in text
    assert "is an exact copy of" in text
    assert "breached" in text
    assert "annotators of this project are simulated" in text


def test_tags_are_closed(page: str) -> None:
    for tag in ("section", "details", "dl", "div", "table", "ol", "main", "figure", "p", "span", "b"):
        assert len(re.findall(rf"<{tag}[ >]", page)) == page.count(f"</{tag}>"), tag


def test_the_same_ledger_gives_the_same_report(page: str, pair: tuple[Workspace, Workspace], tmp_path: Path) -> None:
    again = write_report(pair[0], tmp_path / "again.html", baseline=pair[1])
    assert again.read_text(encoding="utf-8") == page


def test_an_old_report_stays_when_a_new_one_cannot_be_made(
    pair: tuple[Workspace, Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_report(pair[0], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_no_report(pair: tuple[Workspace, Workspace], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the file"):
        write_report(pair[0], tmp_path)


def test_a_project_without_cycles_has_a_report(tmp_path: Path) -> None:
    with small_project(tmp_path / "new", write_images(tmp_path / "data")) as ws:
        page = write_report(ws, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No model has been trained yet" in page


def test_another_holdout_is_not_compared(pair: tuple[Workspace, Workspace]) -> None:
    summary, baseline = (summarise(ws) for ws in pair)
    rows = tuple(replace(row, evaluation=replace(row.evaluation, holdout_hash="other")) for row in baseline.cycles)
    assert "must not be compared" in compare(summary, replace(baseline, cycles=rows))


def test_markdown_tells_of_one_cycle_with_its_curve(pair: tuple[Workspace, Workspace]) -> None:
    text = cycle_markdown(pair[0], 1)
    row = summarise(pair[0]).cycles[1]
    assert row.decision is not None
    assert row.decision.reason.split(",")[0][1:] in text
    assert len(text.encode()) < 100_000
    image = re.search(r"data:image/png;base64,([^)]+)\)", text)
    assert image is not None
    assert Image.open(io.BytesIO(b64decode(image[1]))).width <= 900


def test_markdown_of_a_cycle_that_is_not_there(pair: tuple[Workspace, Workspace]) -> None:
    with pytest.raises(CycleClosed, match="no cycle 9"):
        cycle_markdown(pair[0], 9)


def test_the_gallery_says_why_and_what_people_answered(pair: tuple[Workspace, Workspace]) -> None:
    gallery = show_batch(pair[0], 1)
    assert [tile.rank for tile in gallery.tiles] == list(range(1, 13))
    assert {tile.outcome for tile in gallery.tiles} <= {"labelled", "unclear"}
    active = next(tile for tile in gallery.tiles if tile.lane == Lane.ACTIVE and tile.outcome == "labelled")
    assert active.why.startswith("score ")
    assert active.proposed in "0123"
    assert active.answer in "0123"
    assert sum(one.labelled for one in gallery.agreements) == sum(tile.outcome == "labelled" for tile in gallery.tiles)


def test_a_curve_counts_labels_and_answers(pair: tuple[Workspace, Workspace]) -> None:
    summary = summarise(pair[0])
    curve = curve_of(summary, name="the loop")
    assert curve.n == tuple(row.labels for row in summary.cycles)
    assert curve.answers == (8, 20, 32)
    assert curve.marks[0] == Mark(curve.n[0], "margin")


def _curve(n: tuple[int, ...], points: tuple[float, ...], *, half: float = 1.0) -> Curve:
    low, high = tuple(p - half for p in points), tuple(p + half for p in points)
    return Curve("a curve", n, points, low, high, answers=n)


def test_half_the_labels_are_saved() -> None:
    loop, random = _curve((100, 200), (80.0, 90.0)), _curve((100, 200, 300), (80.0, 85.0, 90.0))
    found = saving(loop, random)
    assert found is not None
    assert (found.target_points, found.labels, found.random_labels) == (90.0, 200.0, 300.0)
    assert found.saved == 100.0
    assert found.share == pytest.approx(1 / 3)
    assert not found.is_within_noise  # at 200 labels 89 to 91 against 84 to 86


def test_intervals_that_overlap_are_noise() -> None:
    loop = _curve((100, 200), (80.0, 90.0), half=3.0)
    found = saving(loop, _curve((100, 200, 300), (80.0, 85.0, 90.0), half=3.0))
    assert found is not None
    assert found.is_within_noise


def test_between_two_cycles_a_curve_is_a_straight_line() -> None:
    found = saving(_curve((100, 200), (80.0, 90.0)), _curve((100, 200), (80.0, 85.0)))
    assert found is not None
    assert (found.target_points, found.labels, found.random_labels) == (85.0, 150.0, 200.0)


def test_random_can_be_better() -> None:
    found = saving(_curve((100, 200), (80.0, 85.0)), _curve((100, 200), (80.0, 90.0)))
    assert found is not None
    assert found.saved == -50.0


def test_the_same_curve_saves_nothing() -> None:
    curve = _curve((100, 200), (80.0, 90.0))
    found = saving(curve, curve)
    assert found is not None
    assert found.saved == 0.0


def test_one_lucky_model_decides_nothing() -> None:
    lucky = saving(_curve((100, 200, 300), (80.0, 96.0, 84.0)), _curve((100, 300), (80.0, 90.0)))
    assert lucky is not None
    assert lucky.target_points == pytest.approx(90.0)  # the mean of 96 and 84


def test_nothing_measured_saves_nothing() -> None:
    assert saving(_curve((), ()), _curve((100,), (80.0,))) is None


FEWER = Saving(90.0, labels=100.0, random_labels=200.0, is_within_noise=False)
MORE = Saving(90.0, labels=200.0, random_labels=100.0, is_within_noise=False)


def test_a_saving_is_told_in_labels() -> None:
    assert verdict(FEWER, FEWER) == "The loop saved 50%: for 90.0 points the loop needed 100 labels and random 200."


def test_unclear_answers_can_eat_up_what_was_saved_in_labels() -> None:
    told = verdict(FEWER, replace(FEWER, labels=240.0, random_labels=210.0))
    assert told == (
        "Random was better: for 90.0 points the loop needed 100 labels and random 200; "
        "counting unclear answers, which cost as much, 240 and 210."
    )


def test_noise_is_called_noise() -> None:
    assert verdict(FEWER, replace(FEWER, is_within_noise=True)).startswith("Within noise: ")


def test_random_is_given_its_due() -> None:
    assert verdict(MORE, MORE).startswith("Random was better: ")
    assert verdict(replace(MORE, labels=100.0), replace(MORE, labels=100.0)).startswith("Random was as good: ")


@pytest.mark.parametrize("points", [(), (80.0,), (80.0, 90.0)])
def test_a_curve_of_any_length_is_drawn(points: tuple[float, ...]) -> None:
    curve = replace(_curve((100, 200)[: len(points)], points), marks=(Mark(100, "$mine:\\broken$"),))
    image = Image.open(io.BytesIO(learning_curve([curve, curve])))
    assert image.format == "PNG"
    assert image.width == 720


def test_the_stage_clock_grows_with_the_cycles(pair: tuple[Workspace, Workspace]) -> None:
    rows = summarise(pair[0]).cycles
    one, three = (Image.open(io.BytesIO(stage_clock(some))) for some in (rows[:1], rows))
    assert one.width == three.width == 720
    assert one.height < three.height


def test_a_thumbnail_keeps_its_shape(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((400, 1600, 3), np.uint8)).save(tmp_path / "wide.jpg")
    image = Image.open(io.BytesIO(thumbnail(str(tmp_path / "wide.jpg"))))
    assert image.size == (THUMBNAIL, THUMBNAIL // 4)


def test_an_image_that_is_gone_is_a_grey_tile(tmp_path: Path) -> None:
    image = Image.open(io.BytesIO(thumbnail(str(tmp_path / "gone.png"))))
    assert image.getpixel((5, 5)) == (118, 118, 118)


def test_slots_wasted_are_told_by_lane(page: str, pair: tuple[Workspace, Workspace]) -> None:
    rows = summarise(pair[0]).cycles
    assert sum(row.unclear for row in rows) > 0
    assert "Slots wasted" in page
    lanes = rows[1].lanes
    assert lanes[Lane.ACTIVE].answered + lanes[Lane.CONTROL].answered == 12
    told = f"({lanes[Lane.ACTIVE].unclear} of 9 active, {lanes[Lane.CONTROL].unclear} of 3 control)"
    assert told in page
    assert told.replace("(", "").replace(")", "") in cycle_markdown(pair[0], 1)


def test_the_predictor_of_unclear_answers_is_off_below_8_flags(tmp_path: Path) -> None:
    with small_project(tmp_path / "auto", write_images(tmp_path / "data"), ladder=("auto",)) as ws:
        run_cycles(ws, 2)
        assert [row.choosing.unclear_predictor for row in summarise(ws).cycles] == [None, False]
        assert "; predictor off)" in cycle_markdown(ws, 1)


def test_the_predictor_of_unclear_answers_is_shown_where_it_was_on(pair: tuple[Workspace, Workspace]) -> None:
    rows = summarise(pair[0]).cycles
    on = [replace(row, choosing=Choosing(unclear_predictor=True)) for row in rows]
    assert wasted_slots(on) != wasted_slots(rows)
    assert Image.open(io.BytesIO(wasted_slots(on))).width == 720


def test_without_answers_the_figure_of_waste_is_empty() -> None:
    assert Image.open(io.BytesIO(wasted_slots([]))).format == "PNG"
