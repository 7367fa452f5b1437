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

from alloop.average_precision import precision_of
from alloop.curves import Curve, Mark, Saving, curve_of, saving
from alloop.cycle import open_cycle
from alloop.errors import ConfigError, CycleClosed
from alloop.figures import THUMBNAIL, learning_curve, stage_clock, thumbnail, wasted_slots
from alloop.gallery import show_batch
from alloop.judging import results_of
from alloop.nouns import Flag, Lane, Task
from alloop.report import compare, headline, verdict, write_report
from alloop.report_cycle import cycle_markdown
from alloop.summary import Choosing, summarise
from alloop.tables import correction_line, cost_lines, cycle_table, metric_of, stage_lines
from alloop.workspace import Workspace
from tests.scene_project import scene_project
from tests.small_project import FOLDER, run_cycles, small_project, write_images

WALL = """
[annotation.simulated]
clock = "wall"
"""


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


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    more = '[committee]\nkind = "views"'
    with scene_project(tmp_path_factory.mktemp("boxes"), ladder=["disagreement"], more=more, count=120) as ws:
        run_cycles(ws, 3)
        yield ws


@pytest.fixture(scope="module")
def box_page(detector: Workspace, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(detector, tmp_path_factory.mktemp("box page") / "report.html").read_text(encoding="utf-8")


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


def test_tags_are_closed(page: str, box_page: str) -> None:
    for text in (page, box_page):
        for tag in (
            "section",
            "details",
            "dl",
            "div",
            "table",
            "ol",
            "main",
            "figure",
            "p",
            "span",
            "b",
            "svg",
            "text",
        ):
            assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>"), tag


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
    assert not any(tile.drawing for tile in gallery.tiles)
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
    image = Image.open(io.BytesIO(learning_curve([curve, curve], metric="mAP50")))
    assert image.format == "PNG"
    assert image.width == 720


def test_the_stage_clock_grows_with_the_cycles(pair: tuple[Workspace, Workspace]) -> None:
    rows = summarise(pair[0]).cycles
    one, three = (Image.open(io.BytesIO(stage_clock(some))) for some in (rows[:1], rows))
    assert one.width == three.width == 720
    assert one.height < three.height


def test_a_thumbnail_keeps_its_shape(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((400, 1600, 3), np.uint8)).save(tmp_path / "wide.jpg")
    small = thumbnail(str(tmp_path / "wide.jpg"))
    assert Image.open(io.BytesIO(small.jpeg)).size == (THUMBNAIL, THUMBNAIL // 4)
    assert small.shown == (1600, 400)


def test_an_image_that_is_gone_is_a_grey_tile(tmp_path: Path) -> None:
    grey = thumbnail(str(tmp_path / "gone.png"))
    assert Image.open(io.BytesIO(grey.jpeg)).getpixel((5, 5)) == (118, 118, 118)
    assert grey.shown is None


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


def test_a_classifier_is_judged_by_accuracy(page: str, pair: tuple[Workspace, Workspace]) -> None:
    summary = summarise(pair[0])
    assert metric_of(summary) == "accuracy"
    assert cycle_table(summary).columns[2].header == "accuracy [95%]"
    assert "<th>accuracy<th>" in page
    assert "mAP" not in Tags(page).text
    assert "is right on" in headline(summary)


def test_a_detector_is_judged_by_map50_everywhere(box_page: str, detector: Workspace) -> None:
    summary = summarise(detector)
    assert metric_of(summary) == "mAP50"
    assert cycle_table(summary).columns[2].header == "mAP50 [95%]"
    assert "<th>mAP50<th>" in box_page
    assert "accurac" not in box_page.lower()
    assert "| mAP50 |" in cycle_markdown(detector, 1)
    assert "accuracy" not in re.sub(r"base64,[^)]*", "", cycle_markdown(detector, 1))
    assert re.search(r"reaches [\d.]+ points of mAP50 on the frozen holdout", headline(summary))


def test_before_it_is_measured_the_task_says_how_a_model_will_be_judged(tmp_path: Path) -> None:
    with scene_project(tmp_path, task=Task.SEGMENT) as ws:
        assert metric_of(summarise(ws)) == "mask mAP50"
        assert "<dt>mask mAP50</dt>" in write_report(ws, tmp_path / "report.html").read_text(encoding="utf-8")


def test_boxes_over_images_need_nothing_from_elsewhere(box_page: str) -> None:
    tags = Tags(box_page).tags
    assert {"svg", "path", "text"} <= {tag for tag, _ in tags}
    assert all("href" not in attrs for tag, attrs in tags if tag in ("svg", "path", "text"))
    assert "url(" not in box_page
    assert "http" not in box_page.replace("http-equiv", "")


def test_an_image_with_boxes_is_told_in_words(box_page: str) -> None:
    told = [str(attrs["alt"]) for tag, attrs in Tags(box_page).tags if tag == "img" and "title" in attrs]
    assert len(told) == 36
    assert all(re.match(r"Image \d+; lines: (nothing|\d+ (of|where) )", text) for text in told)
    assert sum("of people" in text for text in told) > 18


def test_the_legend_says_whose_lines_are_whose(box_page: str) -> None:
    text = Tags(box_page).text
    assert all(word in text for word in ("of the pre-label", "of people", "where the committee disagrees most"))


def test_what_people_did_to_boxes_is_told_for_every_cycle(box_page: str, detector: Workspace) -> None:
    summary = summarise(detector)
    done = [row.corrections for row in summary.cycles]
    assert all(done)
    for row, found in zip(summary.cycles, done, strict=True):
        line = f"kept {found.kept}, corrected {found.corrected}, drawn {found.drawn}, deleted {found.deleted}"
        assert correction_line(found) == line
        assert f"<div><dt>boxes</dt><dd>{line}</dd></div>" in box_page
        assert f"boxes     cycle {row.number}: {line}" in stage_lines(summary)
        assert f"boxes of cycle {row.number}: {line}" in cost_lines(summary)
        assert f"| boxes | {line} |" in cycle_markdown(detector, row.number)


def test_a_classifier_has_no_boxes_to_tell_of(page: str, pair: tuple[Workspace, Workspace]) -> None:
    assert "<dt>boxes</dt>" not in page
    assert not any("boxes" in line for line in (*stage_lines(summarise(pair[0])), *cost_lines(summarise(pair[0]))))


def test_the_newest_detector_is_told_class_by_class(box_page: str, detector: Workspace) -> None:
    found = results_of(detector, detector.ledger.models.of(2)[0])
    precision, (hits, there) = precision_of(found), found.tally()
    text = " ".join(Tags(box_page).text.split())
    assert f"v2 on the frozen holdout: mAP50 {precision.map50:.1f}, mAP50-95 {precision.map50_95:.1f}." in text
    row = r'<td class="path">(\w+)<td class="bar">.*?<td class="right num">([\d.]+)<td class="right num">(\d+) of (\d+)'
    places = {name: found.labels.index(name) for name in precision.by_class}
    weakest = sorted(precision.by_class, key=lambda name: (precision.by_class[name], name))
    assert re.findall(row, box_page) == [
        (name, f"{precision.by_class[name]:.1f}", str(hits[places[name]]), str(there[places[name]])) for name in weakest
    ]


def test_a_report_is_written_without_the_results_of_the_newest_detector(tmp_path: Path) -> None:
    with scene_project(tmp_path) as ws:
        run_cycles(ws, 1)
        evaluation = summarise(ws).cycles[0].evaluation
        assert evaluation is not None
        (ws.config.state / evaluation.results_path).unlink()
        page = write_report(ws, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "are missing or were changed; restore them from a backup." in page
    assert f"{evaluation.points:.1f}" in page


def test_the_pull_of_pre_labels_is_told(box_page: str, detector: Workspace) -> None:
    efforts = [row.effort for row in summarise(detector).cycles]
    found = [effort.anchoring for effort in efforts if effort and effort.anchoring]
    assert found
    for one in found:
        assert f"{one.pull_points:+.0f} points (agreed {one.shown.share:.0%}" in box_page


@pytest.mark.parametrize(("mode", "told"), [("warm", True), ("scratch", False)])
def test_a_curve_of_models_that_went_on_training_says_so(tmp_path: Path, mode: str, told: bool) -> None:
    with scene_project(tmp_path, model=f'mode = "{mode}"') as ws:
        run_cycles(ws, 1)
        page = write_report(ws, tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("went on training from an earlier one" in page) is told


def test_hours_are_called_virtual_only_where_they_are(page: str, tmp_path: Path) -> None:
    assert "all hours run on a virtual clock" in page
    with small_project(tmp_path / "wall", write_images(tmp_path / "data"), more=WALL) as ws:
        text = write_report(ws, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "annotators of this project are simulated: their answers are made from the labels in the manifest." in text
    assert "virtual clock" not in text


def test_good_news_is_not_shown_as_bad(tmp_path: Path) -> None:
    with small_project(tmp_path / "project", write_images(tmp_path / "data")) as ws:
        flags = [Flag(open_cycle(ws), "cycle", kind, 3.0, ws.clock.now()) for kind in ("at_risk", "recovered")]
        ws.ledger.decisions.raise_flags(flags)
        text = write_report(ws, tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<td class="bad">at risk' in text
    assert "<td>recovered" in text


def test_wide_tables_are_scrolled_by_themselves_and_by_keyboard(page: str) -> None:
    regions = [attrs for tag, attrs in Tags(page).tags if tag == "div" and "scroll" in str(attrs.get("class")).split()]
    assert len(regions) >= 3
    assert all(
        attrs.get("tabindex") == "0" and attrs.get("role") == "region" and attrs.get("aria-label") for attrs in regions
    )


def test_every_figure_is_told_in_words(page: str, box_page: str) -> None:
    for text in (page, box_page):
        charts = [attrs for tag, attrs in Tags(text).tags if tag == "img" and attrs.get("class") == "chart"]
        assert len(charts) >= 2
        assert all(len(str(attrs.get("alt"))) > 20 for attrs in charts)


def test_one_curve_needs_no_legend_and_two_have_one_above_the_plot() -> None:
    one = learning_curve([_curve((10, 20), (50.0, 60.0))], metric="accuracy")
    two = learning_curve([_curve((10, 20), (50.0, 60.0)), _curve((10, 20), (40.0, 50.0))], metric="accuracy")
    tops = [np.asarray(Image.open(io.BytesIO(png)).convert("L"))[4:24, 100:].min() for png in (one, two)]
    assert tops[1] < 128 < tops[0]
