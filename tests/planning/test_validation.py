import pytest

from samurai_batch.planning.validation import VideoFacts, validation_error
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt, Rle
from samurai_batch.tasks import Track
from tests.planning.builders import track, video

FACTS = VideoFacts(num_frames=100, height=48, width=64)


def prompted(prompt: Prompt) -> Track:
    return Track(video=video(), object_id="x", prompts=(prompt,))


@pytest.mark.parametrize(
    "prompt",
    [
        BoxPrompt(99, (-5.0, -5.0, 1.0, 1.0)),
        BoxPrompt(0, (60.0, 40.0, 900.0, 900.0)),
        PointsPrompt(0, ((0.0, 0.0), (64.0, 48.0)), (1, 0)),
        MaskPrompt(0, Rle(48, 64, "")),
    ],
)
def test_prompts_inside_the_picture_fit(prompt: Prompt) -> None:
    assert validation_error(prompted(prompt), FACTS) is None


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (BoxPrompt(100, (0.0, 0.0, 1.0, 1.0)), "after the video's last frame, 99"),
        (BoxPrompt(3, (64.0, 0.0, 70.0, 9.0)), "on frame 3 has box_xyxy [64.0, 0.0, 70.0, 9.0], all of it outside"),
        (BoxPrompt(3, (1.0, -9.0, 7.0, 0.0)), "outside a picture of 64x48 pixels"),
        (PointsPrompt(0, ((1.0, 1.0), (64.5, 2.0)), (1, 1)), "the point (64.5, 2), outside"),
        (MaskPrompt(0, Rle(64, 48, "")), "a mask of 48x64 pixels, on a picture of 64x48 pixels"),
    ],
)
def test_what_does_not_fit_is_told_with_its_values(prompt: Prompt, reason: str) -> None:
    assert reason in (validation_error(prompted(prompt), FACTS) or "")


def test_a_span_beyond_the_video_is_a_mistake() -> None:
    assert validation_error(track(end_frame=99), FACTS) is None
    assert "end_frame 100 lies after the video's last frame, 99" in (
        validation_error(track(end_frame=100), FACTS) or ""
    )


@pytest.mark.parametrize(
    "prompt",
    [
        BoxPrompt(0, (0.1, 0.3, 0.5, 0.7)),
        BoxPrompt(0, (0.0, 0.0, 1.0, 1.0)),
        BoxPrompt(0, (-0.2, 0.3, 0.5, 0.7)),
        PointsPrompt(0, ((0.5, 0.5), (1.0, 0.0)), (1, 0)),
    ],
)
def test_prompts_in_units_of_0_to_1_are_a_mistake(prompt: Prompt) -> None:
    assert (validation_error(prompted(prompt), FACTS) or "").endswith("in pixels of the original video")
