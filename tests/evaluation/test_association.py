import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.evaluation.association import (
    FrameOverlaps,
    association_scores,
    count_sequence,
    hota_curves,
    total,
)
from tests.evaluation.oracle import data_of, trackeval_scores

pytestmark = pytest.mark.filterwarnings("ignore")  # of TrackEval


def frame(truth: list[int], predicted: list[int], overlaps: list[list[float]]) -> FrameOverlaps:
    shape = len(truth), len(predicted)
    matrix = np.array(overlaps, np.float64).reshape(shape)
    return FrameOverlaps(np.array(truth, np.int64), np.array(predicted, np.int64), matrix)


def random_sequence(seed: int) -> list[FrameOverlaps]:
    """Objects that come and go, and tracks that cover some of them, change objects, and exist without one."""
    random = np.random.default_rng(seed)
    num_truth, num_predicted = random.integers(1, 7, 2)
    frames = []
    for _ in range(random.integers(1, 30)):
        truth = random.permutation(num_truth)[: random.integers(0, num_truth + 1)]
        predicted = random.permutation(num_predicted)[: random.integers(0, num_predicted + 1)]
        overlaps = random.random((len(truth), len(predicted))) ** 3
        close = truth[:, None] == predicted[None, :]
        overlaps[close] = random.uniform(0.3, 1.0, int(close.sum()))
        overlaps[random.random(overlaps.shape) < 0.3] = 0
        frames.append(FrameOverlaps(truth, predicted, overlaps))
    return contiguous(frames)


def contiguous(frames: list[FrameOverlaps]) -> list[FrameOverlaps]:
    """The same frames with ids that leave none out, as TrackEval wants them."""
    maps = []
    for name in ("truth_ids", "predicted_ids"):
        ids = sorted({one for frame in frames for one in getattr(frame, name).tolist()})
        maps.append({one: place for place, one in enumerate(ids)})
    return [
        FrameOverlaps(
            np.array([maps[0][one] for one in frame.truth_ids.tolist()], np.int64),
            np.array([maps[1][one] for one in frame.predicted_ids.tolist()], np.int64),
            frame.overlaps,
        )
        for frame in frames
    ]


def scores_of(frames: list[FrameOverlaps]) -> dict[str, float]:
    return association_scores(count_sequence(frames)[0])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_every_measure_is_trackevals_on_random_sequences(seed: int) -> None:
    frames = random_sequence(seed)
    assert scores_of(frames) == pytest.approx(trackeval_scores([data_of(frames)]), abs=1e-9, rel=0)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=4))
@settings(max_examples=40, deadline=None)
def test_counts_of_sequences_add_up_to_trackevals_combination(seeds: list[int]) -> None:
    sequences = [random_sequence(seed) for seed in seeds]
    whole = association_scores(total([count_sequence(frames)[0] for frames in sequences]))
    expected = trackeval_scores([data_of(frames) for frames in sequences])
    if not sum(data_of(frames)["num_gt_dets"] for frames in sequences):
        expected["MOTA"] = 0.0  # TrackEval gives it for one sequence, and minus the false positives for several
    assert whole == pytest.approx(expected, abs=1e-9, rel=0)


def test_overlaps_exactly_on_a_threshold_count_as_in_trackeval() -> None:
    for alpha in range(1, 20):
        frames = [frame([0], [0], [[alpha * 0.05]]), frame([0], [0], [[0.5]])]
        assert scores_of(frames) == pytest.approx(trackeval_scores([data_of(frames)]), abs=1e-9, rel=0)


def test_a_swap_of_two_tracks_costs_two_switches_and_half_the_association() -> None:
    """By hand: two objects on four frames, all detected; from the third frame on the tracks are exchanged."""
    kept, swapped = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]
    scores = scores_of([frame([0, 1], [0, 1], overlaps) for overlaps in (kept, kept, swapped, swapped)])
    assert (scores["IDSW"], scores["FP"], scores["FN"], scores["DetA"]) == (2, 0, 0, 1.0)
    assert scores["MOTA"] == pytest.approx(1 - 2 / 8)
    assert scores["IDF1"] == pytest.approx(0.5)
    # Each pair is matched on 2 frames, of 4 + 4 - 2 that have one of the two.
    assert scores["AssA"] == pytest.approx(2 / 6)
    assert scores["HOTA"] == pytest.approx((2 / 6) ** 0.5)


def test_a_track_that_is_lost_and_resumed_is_fragmented_and_no_switch() -> None:
    shown, hidden = frame([0], [0], [[0.9]]), frame([0, 1], [0], [[0.1], [0.9]])
    counts, objects = count_sequence([shown, hidden, shown])
    scores = association_scores(counts)
    assert (scores["IDSW"], scores["Frag"], scores["FN"]) == (0, 1, 1)
    assert objects.num_matched.tolist() == [2, 1]
    assert objects.num_frames.tolist() == [3, 1]


def test_an_empty_sequence_has_scores_and_no_division_by_zero() -> None:
    nothing = frame([], [], [])
    scores = scores_of([nothing, nothing])
    assert (scores["HOTA"], scores["MOTA"], scores["IDF1"], scores["ML"]) == (0, 0, 0, 0)
    only_false = scores_of([frame([], [0], [])])
    assert (only_false["FP"], only_false["MOTA"]) == (1, 0)
    only_missed = scores_of([frame([0], [], [])])
    assert (only_missed["FN"], only_missed["ML"], only_missed["DetA"]) == (1, 1, 0)


def test_hota_falls_with_the_required_overlap() -> None:
    counts, _ = count_sequence([frame([0], [0], [[overlap]]) for overlap in (0.3, 0.6, 0.9)])
    curve = hota_curves(counts)["DetA"]
    assert (np.diff(curve) <= 0).all()
    assert curve[0] == 1.0
    assert curve[-1] == 0.0
