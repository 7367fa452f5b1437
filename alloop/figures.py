"""Figures as PNG bytes: 720 pixels wide, so that they stay readable when a phone shrinks them to half.

They are drawn on Figure objects, never through pyplot, whose state is global. Colours are those of Okabe and Ito
(2008), which colour-blind people can tell apart.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from alloop.curves import Curve
from alloop.errors import BadImage
from alloop.images import decode, measure, read_bytes
from alloop.nouns import STEPS, Lane
from alloop.savings import Band
from alloop.summary import Answers, CycleRow
from alloop.tables import duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Thumbnail", "learning_curve", "stage_clock", "strategy_bands", "thumbnail", "wasted_slots"]

WIDTH_IN, DPI = 6.0, 120
"""720 pixels."""
SMALL, MEDIUM = 11, 12
"""Points; 12 points are 20 of the 720 pixels, and 10 on a phone that shows 360."""
BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#767676", "#222222"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STAGES = dict(
    zip(STEPS, ("#56B4E9", "#009E73", "#F0E442", "#0072B2", "#E69F00", "#CC79A7", "#999999"), strict=True),
)
VISIBLE_SHARE = 0.005
"""A stage shorter than this share of the axis is no bar that anybody could see; it is left out of the legend too."""
THUMBNAIL = 160
"""Pixels of a thumbnail's longer side; smaller images stay as they are."""


def learning_curve(series: Sequence[Curve], *, metric: str) -> bytes:
    """A PNG of a metric over labels with 95% bands: the first curve strong and with its marks, the others grey."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _new_figure(height_in=3.9)
    for place, curve in reversed(list(enumerate(series))):
        colour = BLUE if place == 0 else GREY
        axes.fill_between(curve.n, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
        axes.vlines(curve.n, curve.low, curve.high, color=colour, alpha=0.5, linewidth=1)
        line, width = ("-", 2.4) if place == 0 else ("--", 1.6)
        axes.plot(curve.n, curve.points, line, color=colour, marker="o", linewidth=width, label=curve.name)
    for curve in series[:1]:
        _draw_marks(axes, curve)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("labels", fontsize=MEDIUM)
    axes.set_ylabel(f"{metric} on the frozen\nholdout (points)", fontsize=MEDIUM)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    if len(series) > 1:  # outside, where it hides no mark
        lines, names = axes.get_legend_handles_labels()  # drawn in reverse, so that the first lies on top
        figure.legend(lines[::-1], names[::-1], fontsize=SMALL, frameon=False, loc="outside upper left", ncols=2)
    return _png(figure)


def strategy_bands(series: Sequence[Band]) -> bytes:
    """A PNG of mean accuracies over answers with 95% bands: the first two, the baselines, grey, the others in colours."""
    figure, axes = _new_figure(height_in=4.6)
    for place, band in enumerate(series):
        colour = (GREY, INK)[place] if place < 2 else COLOURS[(place - 2) % len(COLOURS)]
        line = "--" if place < 2 else ("-", "-.", ":")[(place - 2) // len(COLOURS) % 3]
        axes.fill_between(band.n, band.low, band.high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(band.n, band.mean, line, color=colour, linewidth=1.8, label=band.name)
    low, high = min(min(band.mean) for band in series), max(max(band.mean) for band in series)
    room = 0.3 * (high - low) + 0.5  # the bands of two seeds would leave nothing of the curves
    axes.set_ylim(low - room, high + room)
    axes.set_xlabel("answers, unclear ones included", fontsize=MEDIUM)
    axes.set_ylabel("accuracy on the holdout (points)", fontsize=MEDIUM)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right")
    return _png(figure)


def _draw_marks(axes: "Axes", curve: Curve) -> None:
    for mark in curve.marks:
        axes.axvline(mark.n, color=ORANGE, linestyle=(0, (4, 3)), linewidth=1.2)
        axes.annotate(
            mark.strategy,
            (mark.n, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            rotation=90,
            fontsize=SMALL,
            color=ORANGE,
            va="bottom",
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1},
            parse_math=False,
        )


def stage_clock(rows: Sequence[CycleRow]) -> bytes:
    """A PNG of the hours that each stage of each cycle took, as stacked bars against the promised hours."""
    figure, axes = _new_figure(height_in=1.5 + 0.32 * max(1, len(rows)))
    limit = max((row.limit_hours for row in rows), default=0.0)
    end = 1.08 * max([limit, *(row.hours for row in rows)])
    shown = []
    for place, row in enumerate(rows):
        left = 0.0
        for stage in row.stages:
            seen = stage.hours >= VISIBLE_SHARE * end
            label = stage.step if seen and stage.step not in shown else None
            shown += [label] if label else []
            axes.barh(place, stage.hours, left=left, height=0.62, color=STAGES[stage.step], label=label)
            left += stage.hours
        axes.text(row.hours, place, f" {duration(row.hours)}", va="center", fontsize=SMALL, color=INK)
    axes.axvline(limit, color=ORANGE, linewidth=1.8, label=f"promised: {duration(limit)}")
    axes.set_yticks(range(len(rows)), [f"cycle {row.number}" for row in rows])
    axes.set_xlim(0, end)
    axes.invert_yaxis()
    axes.set_xlabel("hours from open to decision", fontsize=MEDIUM)
    figure.legend(fontsize=SMALL, frameon=False, loc="outside upper left", ncols=2)
    return _png(figure)


def wasted_slots(rows: Sequence[CycleRow]) -> bytes:
    """A PNG of the share of each batch that people called unclear: the strategy's choice against the control lane so far.

    The control lane of one batch is small, so its share is that of all cycles up to then. Filled circles: the predictor
    of unclear answers was on.
    """
    figure, axes = _new_figure(height_in=2.8)
    chosen = {row.number: row for row in rows if Lane.ACTIVE in row.lanes}
    shares = {number: 100 * row.lanes[Lane.ACTIVE].share for number, row in chosen.items()}
    predicted = [number for number, row in chosen.items() if row.choosing.unclear_predictor]
    axes.plot(list(shares), list(shares.values()), "o-", color=BLUE, mfc="white", lw=2.4, label="by the strategy")
    if predicted:
        axes.plot(predicted, [shares[number] for number in predicted], "o", color=BLUE, label="predictor on")
    control = _control_shares(rows)
    axes.plot(list(control), list(control.values()), "--", color=GREY, lw=1.6, label="at random, so far")
    axes.set_ylim(bottom=0, top=max([10.0, *(1.15 * share for share in (*shares.values(), *control.values()))]))
    axes.set_xticks(list(shares))
    axes.set_xlabel("cycle", fontsize=MEDIUM)
    axes.set_ylabel("unclear (%)", fontsize=MEDIUM)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    figure.legend(fontsize=SMALL, frameon=False, loc="outside upper left", ncols=3)
    return _png(figure)


def _control_shares(rows: Sequence[CycleRow]) -> dict[int, float]:
    """{cycle: percent of the control lane that was unclear, all cycles up to this one together}."""
    shares, so_far = dict[int, float](), Answers(0, 0)
    for row in rows:
        if (found := row.lanes.get(Lane.CONTROL)) is not None:
            so_far = Answers(so_far.unclear + found.unclear, so_far.answered + found.answered)
            shares[row.number] = 100 * so_far.share
    return shares


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG, and the upright (width, height) in pixels of the image it shows; None when that cannot be read."""

    jpeg: bytes
    shown: tuple[int, int] | None


def thumbnail(uri: str, *, side: int = THUMBNAIL) -> Thumbnail:
    """The image with at most `side` pixels a side; a grey tile when it cannot be read."""
    shown = None
    try:
        raw = read_bytes(uri)
        shown = width, height = measure(raw, uri)
        shrink = min(1.0, side / max(width, height))
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        # decoding a large JPEG to a small square takes a fraction of the time; the resize gives its shape back
        image = decode(raw, uri, size=2 * side if shrink < 0.5 else None).resize(size)
    except BadImage:
        image, shown = Image.new("RGB", (side, side), GREY), None
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return Thumbnail(file.getvalue(), shown)


def _new_figure(*, height_in: float) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure  # a third of a second

    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})  # which version drew it would change the bytes
    return file.getvalue()
