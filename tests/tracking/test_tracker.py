"""The tracker: any number of tracks together, each as if it were alone."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.errors import ConfigError
from samurai_batch.tracking.candidate_masks import tight_boxes
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.tracker import Tracker, TrackInput
from tests.deterministic import small_model
from tests.tracking.scripts import (
    EIGHT,
    NUM_FRAMES,
    VARIANTS,
    Script,
    are_the_same,
    assert_close,
    box,
    clicks,
    features,
    make_tracker,
    mask,
    play,
    steps,
)


@pytest.mark.parametrize("variant", VARIANTS)
def test_eight_tracks_together_give_the_results_of_each_alone(variant: str) -> None:
    tracker = make_tracker(VARIANTS[variant])
    video = features(tracker.model)
    together = play(tracker, EIGHT, video)
    for script, found in zip(EIGHT, together, strict=True):
        (alone,) = play(tracker, [script], video)
        assert list(found) == list(alone) == list(range(script.start_frame, script.end_frame + 1))
        for frame_index, result in found.items():
            assert_close(result, alone[frame_index])


@settings(max_examples=5, deadline=None)
@given(company=st.lists(st.sampled_from(EIGHT[1:]), max_size=5), place=st.integers(0, 5))
def test_a_track_is_the_same_in_any_company(company: list[Script], place: int) -> None:
    tracker = make_tracker()
    video = features(tracker.model)[:10]
    (alone,) = play(tracker, EIGHT[:1], video)
    place = min(place, len(company))
    cast = [*company[:place], EIGHT[0], *company[place:]]
    for frame_index, result in play(tracker, cast, video)[place].items():
        assert_close(result, alone[frame_index])


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [
        (torch.float16, "computes NaN in float16: its numbers are too large for float16; set dtype: float32"),
        (torch.float64, "computes NaN in float64: its weights may be damaged; download them again"),
    ],
)
def test_a_network_that_computes_no_numbers_is_an_error_and_no_absent_object(dtype: torch.dtype, remedy: str) -> None:
    model = copy.deepcopy(small_model()).in_dtype(dtype)
    model.no_mem_embed.data.fill_(float("nan"))
    with torch.inference_mode():
        features = model.encode_image(torch.zeros(1, 3, 64, 64, dtype=dtype))
    tracker = Tracker(model, TrackerSettings())
    with pytest.raises(ConfigError, match=remedy):
        tracker.step(features, [TrackInput(TrackState(9), box(4, 4, 40, 50))])


def test_the_test_video_reaches_every_rule() -> None:
    """What the other tests rest on: motion scores, restarts, absent objects and untrusted memories all occur."""
    tracker = make_tracker()
    seen = list(steps(tracker, EIGHT, features(tracker.model)))
    assert {result.mask_index for _, _, result, _ in seen} == {0, 1, 2}
    assert any(result.motion_score is not None for _, _, result, _ in seen)
    assert any(result.object_score <= -1 for _, _, result, _ in seen)
    assert any(-1 < result.object_score <= 0 for _, _, result, _ in seen)
    assert any(not memory.is_trusted for *_, state in seen for memory in state.bank.recent)
    assert any(len(state.bank.recent) == 7 for *_, state in seen)


def test_a_second_video_is_tracked_bit_for_bit_as_by_a_fresh_tracker() -> None:
    used, fresh = make_tracker(), make_tracker()
    play(used, EIGHT, features(used.model, seed=3))
    video = features(fresh.model)
    for a, b in zip(play(used, EIGHT, video), play(fresh, EIGHT, video), strict=True):
        assert all(are_the_same(a[frame_index], b[frame_index]) for frame_index in b)


def test_tracking_changes_nothing_in_the_network() -> None:
    model = small_model()
    before = {name: value.clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}
    play(make_tracker(), EIGHT, features(model))
    after = dict([*model.named_parameters(), *model.named_buffers()])
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_frames_before_a_track_begins_do_not_matter() -> None:
    tracker = make_tracker()
    video = features(tracker.model)
    script = Script({5: box(12, 16, 35, 38), 11: clicks((20, 30, 1), (50, 50, 0))})
    (late,) = play(tracker, [script], video)
    (at_once,) = play(tracker, [script], video[5:], first=5)
    assert all(are_the_same(late[frame_index], at_once[frame_index]) for frame_index in late)


def test_a_later_prompt_becomes_a_conditioning_frame_and_takes_part() -> None:
    tracker = make_tracker()
    once = Script({0: box(12, 16, 35, 38)})
    again = Script({0: box(12, 16, 35, 38), 8: box(30, 30, 60, 60)})
    video = features(tracker.model)
    (plain,), (corrected,) = play(tracker, [once], video), play(tracker, [again], video)
    assert all(torch.equal(plain[t].low_res_logits, corrected[t].low_res_logits) for t in range(8))
    assert not any(torch.equal(plain[t].low_res_logits, corrected[t].low_res_logits) for t in range(8, NUM_FRAMES))
    for frame_index, _, _, state in steps(tracker, [again], video):
        expected = [0] if frame_index < 8 else [0, 8]
        assert [memory.age for memory in state.bank.conditioning] == expected
        assert 8 not in [memory.age for memory in state.bank.recent]
        selection = tracker.select(state)
        assert [memory.age for memory in selection.memories][: len(expected)] == expected
        assert selection.ranks[: len(expected)] == (6,) * len(expected)


def test_a_prompted_frame_starts_the_motion_model_anew() -> None:
    tracker = make_tracker()
    script = Script({0: box(12, 16, 35, 38), 8: box(12, 16, 35, 38), 12: clicks((20, 30, 1))})
    stable = {t: state.motion.stable for t, _, _, state in steps(tracker, [script], features(tracker.model))}
    assert stable[0] == stable[8] == 0  # one mask: there is nothing to choose, and motion first moves a frame later
    assert stable[1] == stable[9] == stable[12] == 1  # one click gives three candidates


def test_a_mask_prompt_is_its_own_output() -> None:
    tracker = make_tracker()
    given_mask = mask(slice(16, 32), slice(12, 32))
    (found,) = play(tracker, [Script({0: given_mask})], features(tracker.model)[:1])
    assert given_mask.mask is not None
    assert (found[0].mask_score, found[0].object_score, found[0].motion_score) == (1.0, 10.0, None)
    expected = torch.nn.functional.avg_pool2d(given_mask.mask[None], 4)[0] > 0.5
    assert torch.equal(found[0].low_res_logits > 0, expected)


def test_an_empty_mask_prompt_says_that_the_object_is_absent() -> None:
    tracker = make_tracker()
    ((found),) = play(tracker, [Script({0: mask(slice(0, 0), slice(0, 0))})], features(tracker.model)[:2])
    assert found[0].object_score == -10.0
    assert not (found[0].low_res_logits > 0).any()


@pytest.mark.parametrize(("mode", "threshold"), [("samurai", -1.0), ("sam2", 0.0)])
def test_an_object_at_or_below_the_threshold_is_absent_from_its_mask(mode: str, threshold: float) -> None:
    rules = TrackerSettings(mode="sam2" if mode == "sam2" else "samurai")
    tracker = Tracker(small_model(object_offset=0.0), rules)
    cast = [script for script in EIGHT if all(prompt.mask is None for prompt in script.prompts.values())]
    seen = [result for _, _, result, _ in steps(tracker, cast, features(tracker.model))]
    assert any(result.object_score <= threshold for result in seen)
    for result in seen:
        assert bool((result.low_res_logits == -1024).all()) == (result.object_score <= threshold)


def test_plain_sam2_has_no_motion_and_takes_the_best_scored_mask() -> None:
    tracker = make_tracker(VARIANTS["sam2"])
    for _, _, result, state in steps(tracker, EIGHT, features(tracker.model)):
        assert result.motion_score is None
        assert result.predicted_box_xyxy is None
        assert (state.motion.filter, state.motion.stable) == (None, 0)
        if len(result.candidate_ious) == 3:
            assert result.mask_score == max(result.candidate_ious)


def test_samurai_and_sam2_differ_where_the_rules_do() -> None:
    a, b = (play(make_tracker(VARIANTS[mode]), EIGHT[:1], features(small_model()))[0] for mode in ("samurai", "sam2"))
    assert torch.equal(a[0].low_res_logits, b[0].low_res_logits)
    assert not torch.equal(a[NUM_FRAMES - 1].low_res_logits, b[NUM_FRAMES - 1].low_res_logits)


def test_a_track_of_one_frame_is_tracked() -> None:
    tracker = make_tracker()
    (found,) = play(tracker, [Script({4: clicks((25, 28, 1))}, end_frame=4)], features(tracker.model))
    assert list(found) == [4]


@pytest.mark.parametrize("mode", ["samurai", "sam2", "dam4sam"])
def test_state_is_bounded_after_100_frames_with_20_prompts(mode: str) -> None:
    rules = replace(VARIANTS[mode], max_cond_frames_in_attn=4)
    tracker = make_tracker(rules)
    video = [features(tracker.model)[t % NUM_FRAMES] for t in range(100)]
    script = Script({5 * n: box(12, 16, 35, 38) for n in range(20)}, end_frame=99)
    sizes = []
    for _, _, _, state in steps(tracker, [script], video):
        bank = state.bank
        assert len(bank.conditioning) == len(bank.conditioning_pointers) <= (5 if mode == "dam4sam" else 4)
        assert len(bank.recent) <= (6 if mode == "sam2" else 7)
        assert len(bank.recent_pointers) <= 15
        held = [m.spatial for m in (*bank.conditioning, *bank.recent)]
        held += [p.vector for p in (*bank.conditioning_pointers, *bank.recent_pointers)]
        assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in held), "a view keeps its base alive"
        sizes.append(state.num_bytes())
    spatial, pointer = 8 * 4 * 4 * 2, 32 * 8
    assert max(sizes) <= (5 + 7) * spatial + (5 + 15) * pointer + (8 + 64) * 8
    assert max(sizes[50:]) <= max(sizes[:50])


def test_boxes_are_tight_and_count_from_first_to_last_pixel() -> None:
    masks = torch.zeros(1, 3, 10, 12, dtype=torch.bool)
    masks[0, 0, 2:5, 3:9] = True
    masks[0, 1, 9, 11] = True
    assert tight_boxes(masks).tolist() == [[[3, 2, 8, 4], [11, 9, 11, 9], [0, 0, 0, 0]]]
