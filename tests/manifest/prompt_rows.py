"""Valid rows of a prompts table, the errors of invalid ones, and a strategy for arbitrary tracks."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from samurai_batch.errors import PromptsError
from samurai_batch.manifest import parse_prompts
from samurai_batch.prompts import BoxPrompt, FromVideoPrompt, MaskPrompt, PointsPrompt, Prompt, Rle
from samurai_batch.rle import encode_mask, rle_to_coco
from samurai_batch.tasks import DIRECTIONS, Track, Video

BOX = {
    "video_id": "v",
    "video_uri": "v.mp4",
    "object_id": "o",
    "frame_index": 0,
    "kind": "box",
    "box_xyxy": [1, 2, 3, 4],
}
POINTS = {**BOX, "kind": "points", "box_xyxy": None, "points_xy": [[1, 2], [3.5, 4]], "labels": [1, 0]}


def an_rle(pixels: int = 3) -> Rle:
    mask = np.zeros((5, 7), np.bool_)
    mask[1 : 1 + pixels, 2] = True
    rle = encode_mask(mask)
    assert rle is not None
    return rle


MASK = {**BOX, "kind": "mask", "box_xyxy": None, "mask": rle_to_coco(an_rle())}


def problems_of(*rows: dict[str, Any]) -> list[str]:
    """The errors of a table of these rows."""
    with pytest.raises(PromptsError) as caught:
        parse_prompts(pd.DataFrame(list(rows), dtype=object))
    return caught.value.problems


def png(pixels: NDArray[Any], mode: str | None = None) -> bytes:
    sink = io.BytesIO()
    image = Image.fromarray(pixels) if mode is None else Image.fromarray(pixels).convert(mode)
    image.save(sink, "PNG")
    return sink.getvalue()


# --- tables that are right ----------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(str.strip)
coordinates = st.floats(2, 5000)  # not all of them below 1: that would be in units of 0 to 1
boxes = st.tuples(coordinates, coordinates, st.floats(0.5, 100), st.floats(0.5, 100)).map(
    lambda drawn: (drawn[0], drawn[1], drawn[0] + drawn[2], drawn[1] + drawn[3])
)
clicks = st.lists(st.tuples(coordinates, coordinates, st.integers(0, 1)), min_size=1, max_size=4)


@st.composite
def prompts_of_one_frame(draw: st.DrawFn, frame: int) -> list[Prompt]:
    if draw(st.integers(0, 3)) == 0:
        return [MaskPrompt(frame, an_rle(draw(st.integers(1, 4))))]
    prompts: list[Prompt] = [BoxPrompt(frame, draw(boxes))] if draw(st.booleans()) else []
    if not prompts or draw(st.booleans()):
        drawn = draw(clicks)
        labels = (1, *(label for _, _, label in drawn[1:]))
        prompts.append(PointsPrompt(frame, tuple((x, y) for x, y, _ in drawn), labels))
    return prompts


@st.composite
def tracks_of_a_job(draw: st.DrawFn) -> list[Track]:
    videos = [Video(name, draw(texts).strip()) for name in draw(st.lists(texts, min_size=1, max_size=3, unique=True))]
    tracks = []
    for video in videos:
        for object_id in draw(st.lists(texts, min_size=1, max_size=2, unique=True)):
            frames = sorted(draw(st.sets(st.integers(0, 2**31 - 1), min_size=1, max_size=3)))
            prompts = [prompt for frame in frames for prompt in draw(prompts_of_one_frame(frame))]
            direction = draw(st.sampled_from(DIRECTIONS))
            source = draw(texts)
            if direction != "backward" and source != video.video_id and draw(st.integers(0, 3)) == 0:
                carried = FromVideoPrompt(frames[0], source, draw(texts))
                prompts = [carried, *(prompt for prompt in prompts if prompt.frame_index != frames[0])]
            tracks.append(
                Track(
                    video=video,
                    object_id=object_id,
                    prompts=tuple(prompts),
                    start_frame=draw(st.none() | st.integers(0, frames[0])),
                    end_frame=draw(st.none() | st.integers(frames[-1], 2**31 - 1)),
                    direction=direction,
                )
            )
    return tracks
