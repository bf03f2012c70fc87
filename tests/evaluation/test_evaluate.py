import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from samurai_batch.errors import ConfigError
from samurai_batch.evaluation import evaluate
from tests.evaluation import benchmark_folders as folders

FRAMES = range(folders.NUM_FRAMES)
PERFECT = [folders.disc(index) for index in FRAMES]
EMPTY = [np.zeros_like(mask) for mask in PERFECT]


def test_a_perfect_and_an_empty_track_score_one_and_nearly_nothing(root: Path, run: str, tmp_path: Path) -> None:
    folders.davis16(root)
    folders.write_track(run, "bear", "1", PERFECT)
    folders.write_track(run, "swan", "1", EMPTY)
    found = evaluate(run, "davis16", root, output=str(tmp_path / "scores"))
    # Frames 1 to 4 count; on frame 3 the object is gone, so an empty mask is right there.
    assert found.objects["J&F"].tolist() == [1.0, 0.25]
    assert found.objects["num_frames"].tolist() == [4, 4]
    assert found.overall["J_mean"].tolist() == [0.625]
    written = pd.read_csv(tmp_path / "scores/objects.csv")
    assert written["J&F"].tolist() == [1.0, 0.25]


def test_void_pixels_and_overlapping_predictions_are_resolved_in_davis_2017(root: Path, run: str) -> None:
    folders.davis17(root)
    both = [folders.disc(index) | folders.disc(index, row=36) for index in FRAMES]
    folders.write_track(run, "pair", "1", PERFECT)
    folders.write_track(run, "pair", "2", both)  # of equal scores the first object keeps its pixels
    found = evaluate(run, "davis17", root)
    assert found.objects["J&F"].tolist() == [1.0, 1.0]


def test_sa_v_is_measured_on_its_annotated_frames_alone(root: Path, run: str) -> None:
    folders.sav(root)
    for object_id, row in (("000", 16), ("001", 36)):
        masks = [folders.disc(index // 4, row) if index % 4 == 0 else EMPTY[0] for index in range(24)]
        folders.write_track(run, "sav_1", object_id, masks)
    found = evaluate(run, "sav", root)
    assert found.overall["J&F"].tolist() == [1.0]
    assert found.frames["frame_index"].unique().tolist() == [4, 8, 12, 16]


def test_lasot_counts_the_frame_out_of_view_and_plots_what_it_found(root: Path, run: str, tmp_path: Path) -> None:
    folders.lasot(root)
    folders.write_track(run, "cat-1", "1", PERFECT)
    found = evaluate(run, "lasot", root, output=str(tmp_path / "scores"))
    assert found.overall["precision"].iloc[0] == pytest.approx(5 / 6)
    assert found.overall["success_auc"].iloc[0] == pytest.approx(5 / 6 * 20 / 21)
    assert found.overall["average_overlap"].iloc[0] == 1.0
    plots = sorted(path.name for path in (tmp_path / "scores").glob("*.svg"))
    assert plots == ["normalised_precision.svg", "precision.svg", "success.svg"]
    for name in plots:
        assert ET.parse(tmp_path / "scores" / name).getroot().tag.endswith("svg")  # noqa: S314


def test_the_plots_show_the_authors_numbers_where_they_are_points_of_the_curve(root: Path, run: str) -> None:
    folders.lasot(root)
    folders.write_track(run, "cat-1", "1", PERFECT)
    plots = evaluate(run, "lasot", root).plots
    for name, score in (("success", "0.742"), ("precision", "0.802"), ("normalised_precision", "0.827")):
        texts = [text for text in ET.fromstring(plots[name]).itertext() if text.strip()]  # noqa: S314
        assert f"{score} SAMURAI-L (paper)" in texts
        assert texts.count("◆") == (0 if name == "success" else 2)  # on the curve, and in the legend


def test_the_authors_numbers_stand_below_ones_own(root: Path, run: str) -> None:
    folders.lasot(root)
    folders.write_track(run, "cat-1", "1", PERFECT)
    overall = evaluate(run, "lasot", root).overall.set_index("source")
    assert overall.index.tolist() == ["this run", *(f"SAMURAI-{size} (paper)" for size in "TSBL")]
    assert overall.loc["SAMURAI-L (paper)", "success_auc"] == pytest.approx(0.742)
    assert overall.loc["SAMURAI-L (paper)", "precision"] == pytest.approx(0.802)


def test_got10k_pools_its_frames(root: Path, run: str) -> None:
    folders.got10k(root)
    folders.write_track(run, "GOT-10k_Val_000001", "1", [*PERFECT[:4], *EMPTY[4:]])
    found = evaluate(run, "got10k", root)
    assert found.overall["average_overlap"].iloc[0] == 0.5  # frames 1, 2, 4 and 5 count
    assert found.overall["success_rate_50"].iloc[0] == 0.5


def test_a_track_that_starts_late_is_compared_frame_by_frame(root: Path, run: str) -> None:
    folders.otb(root)
    folders.write_track(run, "David", "1", PERFECT, start=299)
    found = evaluate(run, "otb", root, sequences=["David"])
    assert found.overall["average_overlap"].iloc[0] == 1.0


def test_missing_tracks_are_named_and_count_as_absent_only_on_request(root: Path, run: str) -> None:
    folders.davis16(root)
    folders.write_track(run, "bear", "1", PERFECT)
    with pytest.raises(ConfigError, match=r"1 track\(s\) of the benchmark have no table \(swan/1\)"):
        evaluate(run, "davis16", root)
    found = evaluate(run, "davis16", root, missing_is_absent=True)
    assert found.sequences["J_mean"].tolist() == [1.0, 0.25]
    assert evaluate(run, "davis16", root, sequences=["bear"]).overall["J&F"].tolist() == [1.0]


def test_a_benchmark_whose_truth_is_not_public_is_not_measured(root: Path, run: str) -> None:
    folders.trackingnet(root)
    folders.write_track(run, "abc", "1", PERFECT)
    with pytest.raises(ConfigError, match="abc: only its first box is public"):
        evaluate(run, "trackingnet", root)
