"""One video end to end: chunks, spans, directions, and what a row says."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.masks import MASK_SCHEMA, decode_mask, encode_mask
from samurai_batch.pipeline import propagate_chunk, track_video
from samurai_batch.prompts import BoxPrompt, MaskPrompt, Rle
from samurai_batch.rle import rle_from_coco
from samurai_batch.tasks import Direction, Track
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.tracking.trackers import TRACKERS
from tests.deterministic import SMALL, seeded_model
from tests.modeling.small_networks import SMALL_NETWORKS
from tests.small_video import (
    HEIGHT,
    NUM_FRAMES,
    PIXELS,
    ROWS,
    TRACKS,
    VIDEO,
    WIDTH,
    box,
    click,
    legs_of,
    rectangle,
    source,
    timestamp_of,
    tracker,
)


def test_every_frame_of_every_track_leaves_one_row_in_order() -> None:
    tables = track_video(tracker(), source(), TRACKS)
    assert {name: table["frame_index"].to_pylist() for name, table in tables.items()} == {
        name: list(rows) for name, rows in ROWS.items()
    }


@cache
def whole_video(mode: str) -> Mapping[str, pa.Table]:
    return track_video(tracker(mode), source(), TRACKS[1:4])


@pytest.mark.parametrize("mode", TRACKERS)
@pytest.mark.parametrize("chunk_frames", [1, 4, 7])
def test_the_length_of_chunks_changes_no_bit(mode: str, chunk_frames: int) -> None:
    chunked = track_video(tracker(mode), source(), TRACKS[1:4], chunk_frames)
    assert all(chunked[name].equals(table) for name, table in whole_video(mode).items())


@pytest.mark.parametrize("network", [name for name in SMALL_NETWORKS if name != "sam2.1"])
def test_the_length_of_chunks_changes_no_bit_with_any_network(network: str) -> None:
    of_network = Tracker(seeded_model(SMALL_NETWORKS[network], 64), TrackerSettings(stable_frames_threshold=3))
    short, whole = (track_video(of_network, source(), TRACKS[1:3], chunk_frames) for chunk_frames in (4, NUM_FRAMES))
    assert all(short[name].equals(table) for name, table in whole.items())


def test_rows_say_what_was_found_and_when() -> None:
    tables = track_video(tracker(), source(), TRACKS)
    assert all(table.schema.equals(MASK_SCHEMA) for table in tables.values())
    prompted = {track.object_id: {prompt.frame_index for prompt in track.prompts} for track in TRACKS}
    rows = [row for table in tables.values() for row in table.to_pylist()]
    for row in rows:
        assert (row["video_id"], row["height"], row["width"]) == ("clip", HEIGHT, WIDTH)
        assert row["timestamp_s"] == timestamp_of(row["frame_index"])
        assert row["prompted"] == (row["frame_index"] in prompted[row["object_id"]])
        assert 0 <= row["mask_index"] <= 2
        check_mask(row)
    assert any(row["motion_score"] is not None for row in rows)
    assert any(row["area"] for row in rows)


def check_mask(row: dict[str, object]) -> None:
    """Area and box are those of the mask; an absent object has neither mask nor box."""
    segmentation = row["segmentation"]
    if segmentation is None:
        assert (row["area"], row["bbox_x"]) == (0, None)
        return
    assert isinstance(segmentation, dict)
    assert segmentation["size"] == [HEIGHT, WIDTH]
    mask = decode_mask(Rle(HEIGHT, WIDTH, segmentation["counts"]))
    assert row["area"] == int(mask.sum()) > 0
    ys, xs = np.nonzero(mask)
    assert (row["bbox_x"], row["bbox_y"]) == (xs.min(), ys.min())
    assert (row["bbox_w"], row["bbox_h"]) == (np.ptp(xs) + 1, np.ptp(ys) + 1)


def test_going_backward_is_going_forward_through_the_video_turned_round() -> None:
    backward = Track(video=VIDEO, object_id="x", prompts=(box(13), click(8)), direction="backward")
    forward = Track(video=VIDEO, object_id="x", prompts=(box(1), click(6)))
    a = track_video(tracker(), source(), [backward])["x"].to_pylist()
    b = track_video(tracker(), source(PIXELS[::-1]), [forward])["x"].to_pylist()
    for there, back in zip(a[::-1], b, strict=True):
        assert there.pop("frame_index") == 14 - back.pop("frame_index")
        there.pop("timestamp_s"), back.pop("timestamp_s")
        assert there == back


def test_both_ways_is_forward_from_the_prompt_and_backward_before_it() -> None:
    both = Track(video=VIDEO, object_id="x", prompts=(box(6),), direction="both")
    found = {
        direction: track_video(tracker(), source(), [replace(both, direction=direction)])["x"]
        for direction in ("forward", "backward", "both")
    }
    expected = pa.concat_tables([found["backward"].slice(0, 6), found["forward"]])
    assert found["both"].equals(expected.combine_chunks())


def test_rows_of_a_track_do_not_depend_on_the_others() -> None:
    together = track_video(tracker(), source(), TRACKS)
    for track in TRACKS[:4]:
        assert_close(together[track.object_id], track_video(tracker(), source(), [track])[track.object_id])


def assert_close(a: pa.Table, b: pa.Table) -> None:
    scores = ("mask_score", "object_score", "motion_score")
    assert a.drop_columns(list(scores)).equals(b.drop_columns(list(scores)))
    for name in scores:
        x, y = (np.array(table[name].to_pylist(), np.float64) for table in (a, b))
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6)  # float32 in the table


def test_a_mask_prompt_comes_back_as_its_own_mask() -> None:
    track = Track(video=VIDEO, object_id="x", prompts=(MaskPrompt(0, rectangle()),), end_frame=0)
    (row,) = track_video(tracker(), source(), [track])["x"].to_pylist()
    found = decode_mask(Rle(HEIGHT, WIDTH, row["segmentation"]["counts"]))
    given_mask = decode_mask(rectangle())
    assert (found & given_mask).sum() / (found | given_mask).sum() > 0.8  # it went through the grid of S / 4


def test_only_frames_that_a_track_needs_are_read_and_each_is_encoded_once() -> None:
    video = source()
    result = propagate_chunk(tracker(), video, legs_of(TRACKS[1:2]), range(3, 10))
    assert video.requested == [range(3, 10)]
    assert (result.stats.frames_encoded, result.stats.track_frames) == (7, 7)
    assert all(seconds > 0 for seconds in result.stats.stage_s.values())

    shared = propagate_chunk(tracker(), source(), legs_of([TRACKS[0], TRACKS[1]]), range(0, 5))
    assert (shared.stats.frames_encoded, shared.stats.track_frames) == (5, 7)

    track_video(tracker(), video := source(), [TRACKS[1]], chunk_frames=5)
    assert video.requested == [range(3, 5), range(5, 10), range(10, 13)]
    track_video(tracker(), video := source(), [TRACKS[2]], chunk_frames=5)
    assert video.requested == [range(11, 9, -1), range(9, 4, -1), range(4, 1, -1)]


def test_frames_in_a_gap_between_tracks_are_not_encoded() -> None:
    cast = [
        Track(video=VIDEO, object_id="early", prompts=(box(0),), end_frame=2),
        Track(video=VIDEO, object_id="late", prompts=(box(9),), end_frame=10),
    ]
    result = propagate_chunk(tracker(), source(), legs_of(cast), range(0, 11))
    assert (result.stats.frames_encoded, result.stats.track_frames) == (5, 5)


@pytest.mark.parametrize("frames_per_batch", [2, 4, 100])
def test_frames_encoded_together_give_the_rows_of_single_frames(frames_per_batch: int) -> None:
    cast, frames = legs_of(TRACKS[:2]), range(13)
    alone = propagate_chunk(tracker(), source(), cast, frames)
    together = propagate_chunk(tracker(), source(), cast, frames, frames_per_batch=frames_per_batch)
    assert together.stats.frames_encoded == alone.stats.frames_encoded == 13
    for name, table in alone.tables.items():
        for ours, single in zip(together.tables[name].to_pylist(), table.to_pylist(), strict=True):
            assert ours == {key: nearly(value) for key, value in single.items()}


def nearly(value: object) -> object:
    """What a value is compared with: numbers need not be the same to the last bit."""
    return pytest.approx(value, abs=1e-6) if isinstance(value, float) else value


def test_a_chunk_is_a_pure_function() -> None:
    first = propagate_chunk(tracker(), source(), legs_of(TRACKS[:1]), range(0, 6))
    states = dict(first.states)
    a, b = (propagate_chunk(tracker(), source(), legs_of(TRACKS[:1]), range(6, 10), states) for _ in range(2))
    assert a.tables["all"].equals(b.tables["all"])
    assert a.states == b.states
    assert states == first.states


directions: st.SearchStrategy[Direction] = st.sampled_from(["forward", "backward", "both"])


@settings(max_examples=8, deadline=None)
@given(prompted=st.sets(st.integers(2, 9), min_size=1, max_size=3), direction=directions, chunk=st.integers(1, 6))
def test_spans_are_kept_whatever_is_prompted_in_them(prompted: set[int], direction: Direction, chunk: int) -> None:
    prompts = tuple(click(frame_index) for frame_index in sorted(prompted))
    track = Track(video=VIDEO, object_id="x", prompts=prompts, start_frame=1, end_frame=10, direction=direction)
    rows = track_video(tracker(), source(), [track], chunk)["x"]["frame_index"].to_pylist()
    low = min(prompted) if direction == "forward" else 1
    high = max(prompted) if direction == "backward" else 10
    assert rows == list(range(low, high + 1))
    assert all(b == a + 1 for a, b in pairwise(rows))


def test_without_use_threads_the_same_is_found() -> None:
    cast = legs_of(TRACKS[:2])
    alone = propagate_chunk(tracker(), source(), cast, range(10), use_threads=False)
    beside = propagate_chunk(tracker(), source(), cast, range(10))
    assert (alone.tables, alone.states) == (beside.tables, beside.states)


@pytest.mark.parametrize("overhang", [(-100.0, 5.0, 40.0, 30.0), (20.0, -30.0, 60.0, 20.0), (40.0, 20.0, 300.0, 200.0)])
def test_a_box_that_overhangs_gives_the_rows_of_the_same_box_cut_at_the_edge(
    overhang: tuple[float, float, float, float],
) -> None:
    cut = (max(overhang[0], 0.0), max(overhang[1], 0.0), min(overhang[2], WIDTH), min(overhang[3], HEIGHT))
    tables = [
        track_video(tracker(), source(PIXELS[:4]), [Track(video=VIDEO, object_id="o", prompts=(BoxPrompt(0, box),))])
        for box in (overhang, cut)
    ]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("scale", [1, 8])
@pytest.mark.parametrize("num_pixels", [1, 3, 6])
def test_a_mask_of_few_pixels_has_rows_with_masks_around_it(scale: int, num_pixels: int) -> None:
    pixels = PIXELS[:3].repeat(scale, axis=1).repeat(scale, axis=2)
    mask = np.zeros(pixels.shape[1:3], bool)
    row, column = 21 * scale + 1, 33 * scale
    mask[row, column : column + num_pixels] = True
    rle = encode_mask(mask)
    assert rle is not None
    track = Track(video=VIDEO, object_id="o", prompts=(MaskPrompt(0, rle),))
    first = track_video(tracker(), source(pixels), [track])["o"].to_pylist()[0]
    assert first["prompted"]
    assert first["segmentation"] is not None
    found = decode_mask(rle_from_coco(first["segmentation"]))
    cell_height, cell_width = (4 * side * scale / SMALL.image_size for side in (HEIGHT, WIDTH))
    rows, columns = np.nonzero(found)
    assert np.abs(rows - row).max() <= 2 * cell_height
    assert np.abs(columns - column - num_pixels / 2).max() <= 2 * cell_width + num_pixels
