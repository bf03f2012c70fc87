import numpy as np
import pytest

from samurai_batch.geometry import mask_iou
from samurai_batch.modeling.checkpoints import build_model, load_weights
from samurai_batch.synthetic import SUITES
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.training.validation import Quality, track_first_object, validation_suites
from tests.training.pictures import TinyBank


def test_the_iou_of_a_mask_with_itself_is_one_and_of_nothing_with_nothing_too() -> None:
    mask = np.zeros((6, 8), dtype=np.bool_)
    assert mask_iou(mask, mask) == 1.0
    half = mask.copy()
    half[:3] = True
    assert mask_iou(half, ~mask) == 0.5


def quality(tracked_ious: list[float]) -> Quality:
    return Quality(0.9, np.array(tracked_ious), seen=1.0, missed=0.0)


def test_two_trackers_are_compared_clip_by_clip() -> None:
    better, worse = quality([0.9, 0.5, 0.2]), quality([0.8, 0.4, 0.1])
    assert better.tracked.error > 0.1
    gain = better.gain_over(worse)
    assert gain.mean == pytest.approx(0.1)
    assert gain.error == pytest.approx(0.0, abs=1e-9)
    assert str(worse.gain_over(worse)) == "0.000 ± 0.000"


def test_a_tracker_that_always_sees_the_object_has_a_balanced_accuracy_of_one_half() -> None:
    assert quality([0.8, 0.7]).balanced_accuracy == 0.5


@pytest.mark.slow
def test_every_frame_of_a_suite_clip_is_tracked() -> None:
    model = build_model(load_weights("nano", "untrained:0"), image_size=64)
    masks = track_first_object(Tracker(model, TrackerSettings()), SUITES["mix"].clip(0))
    assert masks.shape == (24, 256, 256)
    assert masks.dtype == np.bool_


def test_validation_clips_show_their_object_and_are_the_same_on_every_call() -> None:
    suites = validation_suites(TinyBank())
    assert list(suites) == ["pictures", "generated"]
    for suite in suites.values():
        clip = suite.clip(1)
        assert clip.frames.shape == (24, 256, 256, 3)
        assert clip.masks[0, 0].mean() >= 0.004
        assert np.array_equal(clip.frames[5], suite.clip(1).frames[5])
