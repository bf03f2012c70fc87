"""SAM2Long's paths, against three separate paths that are all computed, and traced back after the last frame."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.modeling.mask_decoder import resize_logits
from samurai_batch.modeling.sam2 import FrameFeatures
from samurai_batch.pipeline import propagate_chunk, track_video
from samurai_batch.prompts import BoxPrompt
from samurai_batch.tasks import Track
from samurai_batch.tracking.mask_rows import lanes_of
from samurai_batch.tracking.memory_bank import MemoryBank, TrackedFrame
from samurai_batch.tracking.paths import PathsNote
from samurai_batch.tracking.proposals import Facts, read
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput, TrackResult
from samurai_batch.tracking.trackers.sam2long import BestPaths, weights
from samurai_batch.tracking.waiting_rows import WaitingRows, rows_of_best_path
from tests.deterministic import small_model
from tests.small_video import ROWS, TRACKS, VIDEO, legs_of, source
from tests.tracking.scripts import EIGHT, NUM_FRAMES, VARIANTS, features

ENDLESS = TrackerSettings(mode="sam2long", sam2long_max_wait_frames=1000)


def make_tracker(settings: TrackerSettings = ENDLESS, object_offset: float = 1.0) -> Tracker:
    return Tracker(small_model(object_offset=object_offset), settings)


class NaivePath:
    """One path with all of its own: memories, score, and the logits of its masks so far."""

    def __init__(self, bank: MemoryBank, score: float, masks: Sequence[torch.Tensor]) -> None:
        self.bank, self.score, self.masks = bank, score, list(masks)


def naive_masks(tracker: Tracker, video: Sequence[FrameFeatures]) -> tuple[list[torch.Tensor], int]:
    """The rules word by word, three paths from the start; the best path's masks, and the number of uncertain frames."""
    model, state = tracker.model, TrackState(len(video))
    (first,) = tracker.step(video[0], [TrackInput(state, EIGHT[0].prompts[0])])
    paths = [NaivePath(state.bank.copy(), 0.0, [first.low_res_logits]) for _ in range(3)]
    num_uncertain = 0
    for age, seen in enumerate(video[1:], 1):
        proposer = tracker._proposer(seen, None)
        selections = {p: tracker.rules.memory.select(path.bank, age, len(video)) for p, path in enumerate(paths)}
        found = [proposer.by_memory({p: selection})[0] for p, selection in selections.items()]
        facts = [read([one], lambda: None)[p] for p, one in enumerate(found)]
        every = [
            (path.score + math.log(iou + 1e-5), p, c, round(iou if facts[p].object_score > 0 else -iou, 2))
            for p, path in enumerate(paths)
            for c, iou in enumerate(facts[p].ious)
        ]
        every.sort(key=lambda one: -one[0])
        if age == 1:
            chosen = [max((one for one in every if one[1] == p), key=lambda one: one[0]) for p in range(3)]
        elif max(abs(one.object_score) for one in facts) > 2:
            chosen = every[:3]
        else:
            num_uncertain += 1
            chosen = []
            for one in every:
                if len(chosen) < 3 and one[3] not in [other[3] for other in chosen]:
                    chosen.append(one)
            for one in every:
                if len(chosen) < 3 and one[1] not in [other[1] for other in chosen]:
                    chosen.append(one)
            chosen.sort(key=lambda one: -one[0])
        after = []
        for score, p, c, _ in chosen:
            own = found[p]
            logits = own.low_res[0, c]
            probabilities = resize_logits(logits[None, None], model.image_size, model.image_size).sigmoid()
            memory = model.encode_memory(seen.image, probabilities, own.object_score <= 0).to(torch.bfloat16)[0]
            pointer = model.object_pointer(own.tokens[:, c], own.is_present)[0]
            bank = paths[p].bank.copy()
            tracker.rules.memory.remember(
                bank, TrackedFrame(age, memory, pointer, facts[p].ious[c], facts[p].object_score)
            )
            after.append(NaivePath(bank, score, [*paths[p].masks, logits]))
        paths = after
    return paths[0].masks, num_uncertain


@torch.inference_mode()
@pytest.mark.parametrize("object_offset", [0.0, 1.0])
def test_lanes_give_the_masks_of_three_whole_paths_traced_back(object_offset: float) -> None:
    tracker = make_tracker(object_offset=object_offset)
    video = features(tracker.model)
    expected, num_uncertain = naive_masks(tracker, video)
    assert num_uncertain > 1
    state, lanes = TrackState(NUM_FRAMES), list[tuple[TrackResult, ...]]()
    found: dict[int, torch.Tensor] = {}
    for age, seen in enumerate(video):
        (result,) = tracker.step(seen, [TrackInput(state, EIGHT[0].prompts.get(age))])
        lanes.append(lanes_of(result))
        found |= {decided: lanes[decided][lane].low_res_logits for decided, lane in result.decided}
    assert list(found) == list(range(NUM_FRAMES))
    assert max(map(len, lanes)) == 3
    for age, logits in enumerate(expected):
        torch.testing.assert_close(found[age], logits, rtol=1e-6, atol=1e-6)


def certain(ious: Sequence[float], object_score: float = 5.0) -> Facts:
    return Facts(tuple(ious), object_score)


def test_equal_paths_are_one_lane_until_the_first_uncertain_frame() -> None:
    rules = BestPaths(num_paths=3, uncertainty=2.0, max_wait_frames=9)
    lanes, note = rules.next_paths(PathsNote(), [certain([0.2, 0.9, 0.5], object_score=0.0)], age=1)
    assert [(parent, choice.index) for parent, choice in lanes] == [(0, 1)]
    lanes, note = rules.next_paths(note, [certain([0.2, 0.9, 0.5])], age=2)
    assert [(parent, choice.index) for parent, choice in lanes] == [(0, 1)]
    assert note.lanes == (0, 0, 0)
    assert len(set(note.scores)) == 1
    lanes, note = rules.next_paths(note, [certain([0.2, 0.9, 0.5], object_score=-2.0)], age=3)
    assert [(parent, choice.index) for parent, choice in lanes] == [(0, 1), (0, 2), (0, 0)]
    decided, rest = note.decide(9)
    assert decided == [(0, 0), (1, 0)]  # of ages 1 and 2, as this note begins at 0
    assert rest.parents == ((0, 0, 0),)


def test_uncertain_candidates_that_are_alike_are_filled_by_other_paths() -> None:
    rules = BestPaths(num_paths=3, uncertainty=2.0, max_wait_frames=9)
    lanes, note = rules.next_paths(PathsNote(), [certain([0.801, 0.8, 0.8], object_score=1.0)], age=2)
    assert [(parent, choice.index) for parent, choice in lanes] == [(0, 0)]  # the three paths stay equal
    assert note.lanes == (0, 0, 0)


def test_a_frame_that_waits_too_long_is_decided_by_the_best_path() -> None:
    note = PathsNote(scores=(0.0, 0.0), lanes=(1, 0), parents=((0, 0), (0, 1), (0, 1), (0, 1)), first_age=5)
    assert note.decide(9) == ([], note)
    decided, rest = note.decide(2)
    assert decided == [(5, 1), (6, 1)]
    assert rest.first_age == 7
    assert note.decide(0)[0] == [(5, 1), (6, 1), (7, 1), (8, 1)]


@given(scores=st.lists(st.floats(-9, 9), min_size=1, max_size=16))
@settings(max_examples=50, deadline=None)
def test_weights_are_evenly_spaced_in_the_order_of_scores(scores: list[float]) -> None:
    found = weights(scores)
    if len(scores) == 1:
        assert found == (1.0,)
        return
    np.testing.assert_allclose(sorted(found), np.linspace(0.95, 1.05, len(scores)))
    assert [scores[index] for index in np.argsort(found)] == sorted(scores)


@pytest.mark.parametrize("max_wait", [1, 6, 1000])
def test_every_frame_leaves_one_row_however_long_rows_may_wait(max_wait: int) -> None:
    tracker = make_tracker(replace(ENDLESS, sam2long_max_wait_frames=max_wait), 0.0)
    tables = track_video(tracker, source(), TRACKS[1:4], chunk_frames=4)
    assert {name: table["frame_index"].to_pylist() for name, table in tables.items()} == {
        track.object_id: list(ROWS[track.object_id]) for track in TRACKS[1:4]
    }


def test_rows_that_wait_are_saved_and_can_be_had_where_a_video_ends_early() -> None:
    tracker, track = (
        make_tracker(object_offset=0.0),
        Track(video=VIDEO, object_id="x", prompts=(BoxPrompt(0, (15.0, 12.0, 45.0, 30.0)),)),
    )
    result = propagate_chunk(tracker, source(), legs_of([track]), range(9))
    rows = result.tables["x"]["frame_index"].to_pylist()
    waiting = rows_of_best_path(result.states["x"])
    assert waiting
    assert rows + [row.frame_index for row in waiting] == list(range(9))
    short = track_video(tracker, source(source().pixels[:9]), [track])["x"]
    of_short = [row["segmentation"] for row in short.to_pylist()]
    assert isinstance(short, pa.Table)
    assert [None if row.segmentation is None else row.segmentation.counts for row in waiting] == [
        None if one is None else one["counts"] for one in of_short[len(rows) :]
    ]


def test_what_waits_is_bounded() -> None:
    tracker = make_tracker(VARIANTS["sam2long"], 0.0)
    video, state = features(tracker.model), TrackState(10**6)
    waiting = 0
    for age in range(30):
        tracker.step(video[age % NUM_FRAMES], [TrackInput(state, EIGHT[0].prompts.get(age))])
        waiting = max(waiting, len(state.note(PathsNote).parents))
        assert len(state.banks) <= 3
    assert 0 < waiting <= 6
    assert WaitingRows.take_from(state).frames == type(WaitingRows().frames)()
