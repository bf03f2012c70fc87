import dataclasses
import hashlib

import pytest

from samurai_batch.frame_sampling import FrameSampling
from samurai_batch.planning.fingerprints import Recipe, VideoIdentity, fingerprint
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Prompt, Rle
from samurai_batch.tasks import Track, Video
from tests.planning.builders import track, video

RECIPE = Recipe(
    model="m", weights_digest="d", image_size=256, dtype="float32", settings={"mode": "samurai"}, tracker_version=1
)
IDENTITY = VideoIdentity("v.mp4", 10, "v1")
TRACK = track()


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    canonical = (
        '{"ids":["v","x"],"model":["m","d",256,"float32"],"prompts":[["box",0,[1.0,2.0,30.0,40.0]]],'
        '"span":[null,null,"forward"],"tracker":[1,{"mode":"samurai"}],"video":["v.mp4",10,"v1"]}'
    )
    assert fingerprint(TRACK, IDENTITY, RECIPE) == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        track("y"),
        track(frame=1),
        track(start_frame=0),
        track(end_frame=9),
        track(direction="both"),
        dataclasses.replace(TRACK, sampling=FrameSampling(every=2)),
        dataclasses.replace(TRACK, sampling=FrameSampling(every=2, interpolates=True)),
        dataclasses.replace(TRACK, sampling=FrameSampling(on_cut="continue")),
        dataclasses.replace(TRACK, sampling=FrameSampling(on_cut="end")),
        track(of=video("w")),
        dataclasses.replace(TRACK, prompts=(*TRACK.prompts, PointsPrompt(3, ((1.0, 2.0),), (1,)))),
    ],
)
def test_everything_about_a_track_counts(other: Track) -> None:
    assert fingerprint(other, IDENTITY, RECIPE) != fingerprint(TRACK, IDENTITY, RECIPE)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "n"},
        {"weights_digest": "e"},
        {"image_size": 512},
        {"dtype": "bfloat16"},
        {"settings": {"mode": "sam2"}},
        {"settings": {"mode": "samurai", "kf_score_weight": 0.1}},
        {"tracker_version": 2},
    ],
)
def test_everything_about_the_network_and_the_rules_counts(changes: dict[str, object]) -> None:
    other = dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]
    assert fingerprint(TRACK, IDENTITY, other) != fingerprint(TRACK, IDENTITY, RECIPE)


@pytest.mark.parametrize("other", [("w.mp4", 10, "v1"), ("v.mp4", 11, "v1"), ("v.mp4", 10, "v2")])
def test_another_state_of_the_video_is_another_video(other: tuple[str, int, str]) -> None:
    assert fingerprint(TRACK, VideoIdentity(*other), RECIPE) != fingerprint(TRACK, IDENTITY, RECIPE)


def test_measured_cuts_change_no_fingerprint() -> None:
    ending = dataclasses.replace(TRACK, sampling=FrameSampling(on_cut="end"))
    names = {fingerprint(dataclasses.replace(ending, scene_cuts=cuts), IDENTITY, RECIPE) for cuts in (None, (), (3, 9))}
    assert len(names) == 1


def test_kinds_of_prompts_with_like_values_differ() -> None:
    prompts: list[Prompt] = [
        BoxPrompt(0, (1.0, 2.0, 3.0, 4.0)),
        PointsPrompt(0, ((1.0, 2.0), (3.0, 4.0)), (1, 0)),
        PointsPrompt(0, ((1.0, 2.0), (3.0, 4.0)), (1, 1)),
        MaskPrompt(0, Rle(2, 3, "04")),
        MaskPrompt(0, Rle(3, 2, "04")),
    ]
    tracks = [Track(video=Video("v", "v.mp4"), object_id="x", prompts=(prompt,)) for prompt in prompts]
    assert len({fingerprint(one, IDENTITY, RECIPE) for one in tracks}) == len(prompts)
