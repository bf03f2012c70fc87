from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.manifest import check_video_is_there, prompts_from_flags
from samurai_batch.prompts import BoxPrompt, MaskPrompt, PointsPrompt, Rle
from samurai_batch.tasks import Video
from tests.manifest.prompt_rows import png


def test_a_video_that_is_not_there_is_refused_and_a_remote_one_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1.mp4").touch()
    for there in ("1.mp4", "*.mp4", str(tmp_path), "s3://no-such-bucket/clip.mp4"):
        check_video_is_there(there)
    for missing in ("2.mp4", "*.mov", storage.as_one(["1.mp4", "2.mp4"])):
        with pytest.raises(ConfigError, match=r"^video (2\.mp4|\*\.mov) does not exist; check its path$"):
            check_video_is_there(missing)


def test_every_box_is_an_object_of_its_own() -> None:
    tracks = prompts_from_flags("s3://b/clips/a.clip.mp4?v=1", boxes=["10,20,200,300", "1, 2.5, 3, 4"], frame=7)
    assert [track.object_id for track in tracks] == ["1", "2"]
    assert tracks[1].prompts == (BoxPrompt(7, (1, 2.5, 3, 4)),)
    assert tracks[0].video == Video("a.clip", "s3://b/clips/a.clip.mp4?v=1")


def test_points_say_more_about_the_one_box_or_are_one_object() -> None:
    (with_box,) = prompts_from_flags("clip.mp4", boxes=["0,0,9,9"], points=["1,2"], negatives=["3,4", "5,6"])
    clicks = PointsPrompt(0, ((1, 2), (3, 4), (5, 6)), (1, 0, 0))
    assert with_box.prompts == (BoxPrompt(0, (0, 0, 9, 9)), clicks)
    (alone,) = prompts_from_flags("frames/", points=["1,2"], negatives=["3,4", "5,6"], direction="both", end_frame=9)
    assert alone.prompts == (clicks,)
    assert (alone.direction, alone.end_frame, alone.video.video_id) == ("both", 9, "frames")


def test_a_mask_flag_is_the_uri_of_a_png(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(png(np.eye(3, dtype=np.uint8)))
    (track,) = prompts_from_flags("clip.mp4", masks=[str(tmp_path / "mask.png")])
    assert track.prompts == (MaskPrompt(0, Rle(3, 3, track.prompts[0].mask.counts)),)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "no prompt is given; add --box"),
        ({"boxes": ["1,2,3"]}, "--box 1,2,3: it has 3 number.s.; write x1,y1,x2,y2 in pixels"),
        (
            {"boxes": ["1,2,x,4"]},
            "--box 1,2,x,4: it should be numbers separated by commas; write x1,y1",
        ),
        ({"boxes": ["5,5,1,1"]}, "--box 5,5,1,1: x2 should be greater than x1"),
        ({"boxes": ["1,1,nan,2"]}, "--box 1,1,nan,2: it should hold finite"),
        ({"points": ["-1,2"]}, "--point -1,2: one point is outside the picture"),
        ({"points": ["1,2,3"]}, "--point 1,2,3: it has 3 number.s.; write x,y in pixels"),
        ({"negatives": ["1,2"]}, "--negative alone does not mark the object; add --point"),
        ({"boxes": ["1,1,2,2"] * 2, "points": ["1,2"]}, "--point and --negative belong to one object, but there are 2"),
        ({"masks": ["memory://manifest/none.png"]}, "--mask memory://manifest/none.png: there is no such PNG"),
        ({"masks": ["memory://manifest/one.png"], "points": ["1,2"]}, "--mask cannot be combined with points"),
        ({"boxes": ["1,1,2,2"], "frame": -1}, "--frame -1: it should not be negative; the first frame is 0"),
        ({"boxes": ["1,1,2,2"], "end_frame": -1}, "--end-frame -1: it should not be negative"),
        ({"boxes": ["1,1,2,2"], "start_frame": 4}, "--frame 0 is before --start-frame 4"),
        ({"boxes": ["1,1,2,2"], "frame": 4, "end_frame": 3}, "--frame 4 is after --end-frame 3"),
    ],
)
def test_a_wrong_flag_is_named_with_its_value_and_the_remedy(flags: dict[str, Any], message: str) -> None:
    storage.write_bytes("memory://manifest/one.png", png(np.ones((2, 2), np.uint8)))
    with pytest.raises(ConfigError, match=message):
        prompts_from_flags("clip.mp4", **flags)
