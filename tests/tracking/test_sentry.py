"""The parts of SENTRY, by numbers that can be checked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch.prompts import Box
from samurai_batch.tracking.sentry.candidates import (
    good_masks,
    has_usual_area,
    relative,
    similar_masks,
    soft_nms,
)
from samurai_batch.tracking.sentry.gate import AgedBoxes, SentryNote, is_failure
from samurai_batch.tracking.sentry.masks import appearance
from samurai_batch.tracking.sentry.position import Position, predict, update
from samurai_batch.tracking.sentry.verification import (
    ReverseScore,
    TrackedBack,
    assign,
    best_verified,
    reverse_score,
    trajectory_iou,
)
from samurai_batch.tracking.settings import TrackerSettings

SETTINGS = TrackerSettings(mode="sam2", rescue="sentry")
HEIGHT, WIDTH = 480, 640
USUAL: Box = (100.0, 100.0, 120.0, 120.0)  # 20 x 20 pixels


def note_of(*boxes: Box | None) -> SentryNote:
    """The note after frames with these accepted boxes; frame 1000 is the first."""
    note = SentryNote()
    for age, box in enumerate(boxes):
        note = note.accepted(age, 1000 + age, box, SETTINGS)
    return note


def square(side: float, x: float = 110.0, y: float = 110.0) -> Box:
    """A square box around a centre."""
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


# Gate


@pytest.mark.parametrize(
    ("box", "iou", "is_open"),
    [
        (None, 0.9, True),  # no mask
        (USUAL, 0.0, False),
        (square(6.3), 0.9, True),  # 39.7 is less than a tenth of 400
        (square(6.4), 0.9, False),
        (square(56.5), 0.9, False),
        (square(56.6), 0.9, True),  # 3203.6 is more than 8 x 400
        (square(20, 190.0), 0.0, False),  # 80 pixels away: 4 x 20 and no more
        (square(20, 190.5), 0.34, True),
        (square(20, 190.5), 0.35, False),  # sure enough, and of the usual area
        (square(14.1, 190.5), 0.9, True),  # a jump, and less than half of the area
        (square(14.2, 190.5), 0.9, False),
        (square(28.3, 190.5), 0.9, True),  # a jump, and more than twice the area
        (square(28.2, 190.5), 0.9, False),
    ],
)
def test_the_gate_opens_for_no_mask_another_size_or_a_doubtful_jump(box: Box | None, iou: float, is_open: bool) -> None:
    assert is_failure(note_of(USUAL, USUAL, USUAL), 3, box, iou, SETTINGS) == is_open


def test_the_gate_opens_by_area_only_after_three_boxes_but_at_once_for_no_mask() -> None:
    for note in (note_of(USUAL, USUAL), note_of(USUAL, None, None, USUAL)):
        assert not is_failure(note, 9, square(200), 0.0, SETTINGS)
        assert is_failure(note, 9, None, 0.9, SETTINGS)


def test_the_gate_stays_closed_for_five_frames_after_a_rescue() -> None:
    note = replace(note_of(USUAL, USUAL, USUAL), closed_until=3 + SETTINGS.sentry_cooldown_frames)
    assert [is_failure(note, age, None, 0.9, SETTINGS) for age in range(4, 11)] == [False] * 5 + [True] * 2


def test_the_usual_area_is_the_median_of_the_last_ten_boxes() -> None:
    note = note_of(*(square(side) for side in (100, 100, *range(1, 11))))
    assert note.usual_area == (25 + 36) / 2
    assert len(note.areas) == 10


def test_nine_frames_are_known_whether_they_have_a_box_or_not() -> None:
    note = note_of(*([USUAL, None] * 6))
    assert note.frames == tuple(range(1003, 1012))
    assert note.ages == tuple(range(3, 12))
    assert note.num_known == len(note.history) == 4
    assert set(note.history) == {4, 6, 8, 10}
    assert note.last_box == USUAL


# Candidates


def test_the_decoders_masks_count_if_almost_as_good_as_the_best_and_the_object_is_visible() -> None:
    assert good_masks([0.5, 0.41, 0.4, 0.3], 0.1, SETTINGS) == [0, 1]
    assert good_masks([0.5, 0.41], 0.0, SETTINGS) == []


def test_masks_of_everything_mode_count_if_almost_as_similar_as_the_most_similar_one() -> None:
    assert similar_masks([0.4, 0.5, 0.39, 0.45], SETTINGS) == [1, 3, 0]
    assert similar_masks([-0.2, -0.1], SETTINGS) == similar_masks([], SETTINGS) == []


def test_candidates_are_ranked_relative_to_the_best_of_their_kind() -> None:
    assert relative([0.25, 0.5]) == [0.5, 1.0]
    assert relative([-0.5, -0.25]) == [0.0, 0.0]


def test_a_candidates_area_is_a_quarter_to_four_times_the_usual_one() -> None:
    assert [has_usual_area(square(side), 400.0, SETTINGS) for side in (9.9, 10, 40, 40.1)] == [False, True, True, False]
    assert has_usual_area(square(999), None, SETTINGS)


def test_soft_nms_lowers_scores_by_overlap_with_those_taken() -> None:
    # IoU with the first: 1/19 for the second, 1/3 for the third.
    boxes: list[Box] = [(0, 0, 10, 10), (9, 0, 19, 10), (5, 0, 15, 10), (50, 50, 60, 60)]
    assert soft_nms(boxes, [1.0, 0.9, 0.9, 0.5], SETTINGS) == [0, 1, 3]
    second = 0.9 * math.exp(-((1 / 19) ** 2) / 0.01)
    assert 0.68 < second < 0.69
    assert 0.9 * math.exp(-((1 / 3) ** 2) / 0.01) < 1e-4
    threshold = replace(SETTINGS, sentry_soft_nms_score_threshold=second + 0.001)
    assert soft_nms(boxes, [1.0, 0.9, 0.9, 0.5], threshold) == [0]


def test_soft_nms_keeps_five_of_at_least_a_quarter_of_the_best_score() -> None:
    apart: list[Box] = [(20.0 * n, 0.0, 20.0 * n + 10, 10.0) for n in range(7)]
    assert soft_nms(apart, [0.3, 0.9, 0.4, 0.5, 0.6, 0.7, 0.8], SETTINGS) == [1, 6, 5, 4, 3]
    assert soft_nms(apart[:3], [0.2, 1.0, 0.25], SETTINGS) == [1]  # what is left must be above the threshold
    assert soft_nms([], [], SETTINGS) == []


def test_appearance_is_the_mean_feature_of_the_cells_by_the_share_that_is_covered() -> None:
    image = torch.zeros(1, 2, 2, 2)
    image[0, 0, 0, 0], image[0, 1, 0, 1] = 3.0, 4.0
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2, :2] = True  # the whole first cell
    torch.testing.assert_close(appearance(image, mask), torch.tensor([[1.0, 0.0]]))
    mask[0, :2, 2] = True  # and half of the second one: (3 + 0) / 1.5 and (0 + 2) / 1.5
    torch.testing.assert_close(appearance(image, mask), torch.tensor([[3.0, 2.0]]) / 13**0.5)


# Position


def test_the_expected_position_follows_the_measured_centres_in_whole_pixels() -> None:
    position = update(Position(), (100.0, 200.0), SETTINGS)
    assert position.mean == (100.0, 200.0, 0.0, 0.0)  # 99.75 and 199.5 rounded: the filter begins at the origin
    centre, after = predict(position, HEIGHT, WIDTH, SETTINGS)
    assert centre == pytest.approx((100.005, 200.005))
    assert after.mean == pytest.approx((100.005, 200.005, 0.1, 0.1))
    for x in range(110, 400, 10):
        _, position = predict(position, HEIGHT, WIDTH, SETTINGS)
        position = update(position, (float(x), 200.0), SETTINGS)
    centre, _ = predict(position, HEIGHT, WIDTH, SETTINGS)
    assert 390 < centre[0] < 400.5
    assert centre[1] == pytest.approx(200.0, abs=1.1)


def test_a_position_outside_the_frame_is_held_at_the_one_before_until_a_centre_is_measured() -> None:
    fast = Position(mean=(639.0, 100.0, 50.0, 0.0))
    centre, position = predict(fast, HEIGHT, WIDTH, SETTINGS)
    assert centre == (639.0, 100.0)
    assert predict(position, HEIGHT, WIDTH, SETTINGS) == (centre, position)
    assert update(position, (600.0, 100.0), SETTINGS).held is None


@given(st.lists(st.tuples(st.floats(1, WIDTH - 1), st.floats(1, HEIGHT - 1)) | st.none(), max_size=20))
def test_the_filter_stays_finite_and_of_whole_numbers_where_a_centre_was_measured(
    centres: list[tuple[float, float] | None],
) -> None:
    position = update(Position(), (320.0, 240.0), SETTINGS)
    for centre in centres:
        expected, position = predict(position, HEIGHT, WIDTH, SETTINGS)
        assert np.isfinite([*expected, *position.mean]).all()
        if centre is not None:
            position = update(position, centre, SETTINGS)
            assert all(value == round(value) for value in position.mean)


# Verification


def moving(*steps: float, first: int = 0) -> AgedBoxes:
    """A box of 10 x 10 pixels, moved along x by so many pixels from that of the object, frame by frame."""
    return tuple((first + age, (dx, 0.0, dx + 10.0, 10.0)) for age, dx in enumerate(steps))


HISTORY = dict(moving(*[0.0] * 9))
NOWHERE: Box = (300.0, 300.0, 310.0, 310.0)


def mask_of(kind: str, trajectory: AgedBoxes, **others: float) -> TrackedBack:
    return TrackedBack(kind=kind, box=NOWHERE, trajectory=(*trajectory, (9, NOWHERE)), **others)  # type: ignore[arg-type]


def test_a_trajectory_is_scored_on_the_frames_that_have_both_boxes() -> None:
    score = reverse_score(moving(0, 0, 5), {0: (0, 0, 10, 10), 1: (0, 0, 10, 10), 2: (0, 0, 10, 10), 3: (0, 0, 9, 9)})
    assert (score.mean, score.least, score.coverage) == pytest.approx(((1 + 1 + 1 / 3) / 3, 1 / 3, 0.75))
    assert reverse_score(moving(0, first=20), HISTORY) == reverse_score((), HISTORY) == ReverseScore()


def test_two_trajectories_are_compared_on_their_common_frames() -> None:
    assert trajectory_iou(moving(0, 0, 5), moving(0, 0, first=1)) == pytest.approx((1 + 1 / 3) / 2)
    assert trajectory_iou(moving(0), moving(0, first=1)) is None


def test_trajectories_are_assigned_one_to_one_by_the_highest_sum() -> None:
    assert assign([[0.9, 0.8], [0.85, 0.1]], 0.05) == {0: 0.85, 1: 0.8}  # not 0.9 and 0.1
    assert assign([[0.9, 0.8], [0.5, None]], 0.05) == {0: 0.5, 1: 0.8}
    assert assign([[0.04, None, 0.3]], 0.05) == {2: 0.3}
    assert assign([[0.04]], 0.05) == assign([], 0.05) == assign([[]], 0.05) == {}


@given(st.lists(st.lists(st.none() | st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=3))
def test_no_other_assignment_has_a_higher_sum(ious: list[list[float | None]]) -> None:
    from itertools import permutations

    allowed = [[iou if iou is not None and iou >= 0.05 else 0.0 for iou in row] for row in ious]
    best = max(
        sum(row[column] for row, column in zip(allowed, order, strict=False)) for order in permutations(range(3))
    )
    assert sum(assign(ious, 0.05).values()) == pytest.approx(best)


def chosen(*masks: TrackedBack, history: dict[int, Box] = HISTORY, pool: tuple[AgedBoxes, ...] = ()) -> int | None:
    return best_verified(masks, history, pool, SETTINGS)


def test_a_mask_that_leads_back_to_the_object_is_verified_and_the_best_one_wins() -> None:
    host, right, better = (
        mask_of("host", ()),
        mask_of("decoder", moving(*[1.0] * 9)),
        mask_of("everything", moving(*[0.5] * 9)),
    )
    assert chosen(right) == 0
    assert chosen(right, better) == 1
    assert chosen(mask_of("host", moving(*[9.0] * 9)), right, better) == 2
    assert chosen(host, right) is None  # what has a mask that was never found must be beaten, and cannot be
    assert chosen() is None


@pytest.mark.parametrize(
    ("trajectory", "is_verified"),
    [
        (moving(*[2.1] * 9), True),  # IoU 7.9 / 12.1 = 0.653
        (moving(*[2.2] * 9), False),  # 7.8 / 12.2 = 0.639
        (moving(*[0.0] * 8, 6.6), True),  # the lowest one is 3.4 / 16.6 = 0.205
        (moving(*[0.0] * 8, 6.7), False),  # 3.3 / 16.7 = 0.198
        (moving(*[0.0] * 7), True),  # found on 7 of 9 frames
        (moving(*[0.0] * 6), False),
    ],
)
def test_thresholds_of_mean_least_and_coverage(trajectory: AgedBoxes, is_verified: bool) -> None:
    assert (chosen(mask_of("decoder", trajectory)) is not None) == is_verified


def test_three_frames_must_be_known() -> None:
    found = mask_of("decoder", moving(0, 0, 0))
    assert chosen(found, history=dict(moving(0, 0))) is None
    assert chosen(found, history=dict(moving(0, 0, 0))) == 0


def test_the_hosts_mask_must_be_beaten_by_a_margin() -> None:
    perfect = mask_of("decoder", moving(*[0.0] * 9))
    assert chosen(mask_of("host", moving(*[0.8] * 9)), perfect) is None  # 9.2 / 10.8 = 0.852
    assert chosen(mask_of("host", moving(*[0.9] * 9)), perfect) == 1  # 9.1 / 10.9 = 0.835


def test_with_a_pool_a_mask_must_match_one_of_its_trajectories() -> None:
    found = mask_of("decoder", moving(*[0.0] * 9))
    assert chosen(found, pool=(moving(*[4.2] * 9),)) == 0  # 5.8 / 14.2 = 0.408
    assert chosen(found, pool=(moving(*[4.3] * 9),)) is None  # 5.7 / 14.3 = 0.399
    assert chosen(found, pool=(moving(*[40.0] * 9), moving(*[0.0] * 9))) == 0
    rival = mask_of("host", moving(*[9.0] * 9))
    only = (moving(*[4.0] * 9),)  # the host's IoU with it is 1/3, the other's 3/7
    assert chosen(rival, found, pool=only) == 1


def test_the_moved_mask_needs_no_match_but_a_host_that_does_worse_than_two_fifths() -> None:
    moved = mask_of("moved", moving(*[0.0] * 9))
    assert chosen(moved, pool=(moving(*[40.0] * 9),)) == 0
    assert chosen(mask_of("host", moving(*[4.2] * 9)), moved) is None
    assert chosen(mask_of("host", moving(*[4.3] * 9)), moved) == 1


def test_of_equal_masks_the_moved_one_is_last_and_the_more_similar_one_first() -> None:
    same = moving(*[0.0] * 9)
    assert chosen(mask_of("moved", same), mask_of("decoder", same)) == 1
    alike = mask_of("everything", same, similarity=0.9), mask_of("everything", same, similarity=0.95)
    assert chosen(*alike) == 1
    assert chosen(mask_of("decoder", same, predicted_iou=0.6), mask_of("decoder", same, predicted_iou=0.5)) == 0
