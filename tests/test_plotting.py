import xml.etree.ElementTree as ET

import numpy as np
import pytest

from samurai_batch.plotting import Axes, Band, Curve, Drawing, Interval, Mark, bar_plot, curve_plot, interval_plot

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314


def test_texts_and_attributes_are_escaped() -> None:
    drawing = Drawing(10, 10, aria_label='<"&')
    drawing.add("text", "<script>", x=1.26)
    root = parsed(drawing.svg())
    assert root.attrib == {"viewBox": "0 0 10 10", "aria-label": '<"&'}
    assert [(one.text, one.get("x")) for one in root] == [("<script>", "1.3")]


def test_values_above_and_below_an_axis_are_cut_and_a_short_band_is_still_seen() -> None:
    axes = Axes(Drawing(100, 100), 10, 20, 80, 40, (0.0, 4.0), (0.0, 2.0))
    axes.line([0, 2, 4], [-1, 1, 9])
    axes.band(2, 2.001)
    line, band = parsed(axes.drawing.svg())
    assert line.get("points") == "10.0,60.0 50.0,40.0 90.0,20.0"
    assert (band.get("x"), band.get("width"), band.get("height")) == ("50", "1", "40")


def test_a_plot_of_curves_has_every_label_and_a_shape_for_each_mark_with_points() -> None:
    curve = Curve("ours", np.array([0.0, 1.0]), np.array([0.2, 0.9]))
    marks = [Mark("paper", ((0.5, 0.5),)), Mark("number alone")]
    root = parsed(curve_plot("Title", "x", "y", [curve], marks, [Band("early", 0, 0.5), Band("late", 0.5, 1)]))
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert {"Title", "x", "y", "ours", "paper", "number alone", "early", "late"} <= set(texts)
    assert (texts.count("●"), texts.count("▲")) == (2, 0)  # on the axes and in the legend
    assert [one.text for one in root.iter(f"{SVG}desc")] == ["ours: from 0.200 to 0.900; paper; number alone"]


def test_bars_are_as_long_as_their_values_say() -> None:
    rects = list(parsed(bar_plot("Title", "below", [("a", 2.0, "red"), ("b", 1.0, "blue")])).iter(f"{SVG}rect"))[1:]
    assert [(one.get("width"), one.get("fill")) for one in rects] == [("420", "red"), ("210", "blue")]


def test_an_interval_is_drawn_where_its_ends_are_and_only_if_it_has_some() -> None:
    nan = float("nan")
    panels = [
        [
            Interval("a <b>", 0.5, 0.25, 0.75, np.array([0.0, 1.0])),
            Interval("one video", 0.5, nan, nan, np.array([0.5])),
        ],
        [Interval("below 0", 0.0, -1.0, 1.0, np.empty(0))],
        [],
    ]
    svg = interval_plot("Scores", "over videos", panels)
    root = parsed(svg)
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"Scores", "over videos", "a <b>", "one video", "below 0", "0.500", "0.000"} <= set(texts)
    intervals = [one for one in root.iter(f"{SVG}path") if one.get("stroke-width") == "2"]
    assert len(intervals) == 2  # the one with NaN has none
    centres = [float(one.attrib["cx"]) for one in root.iter(f"{SVG}circle")]
    dots, mean = centres[:2], centres[2]
    assert mean == pytest.approx(sum(dots) / 2, abs=0.2)
    assert "nan" not in svg.lower().replace("from nan to nan", "")
