"""What is exported is imported again: the same objects, frames, and masks or boxes, for any masks."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from samurai_batch import storage
from samurai_batch.exports import FORMATS
from samurai_batch.imports import FORMATS as IMPORTS
from samurai_batch.imports import Videos, read_annotations
from samurai_batch.masks import decode_mask
from samurai_batch.prompts import BoxPrompt, MaskPrompt
from tests.exports.made_masks import (
    HEIGHT,
    WIDTH,
    Masks,
    box_of,
    made,
    present,
    video_masks,
    write_frames,
    write_output,
)

VIDEO_ID = "cam 1/a_07"
OF_MASKS = ["coco", "cvat-polygon", "cvat-mask", "cvat-images", "label-studio-brush", "yolo-seg"]
OF_BOXES = ["cvat", "label-studio", "yolo-track", "mot"]
FORMAT_OF = {"cvat-polygon": "cvat", "cvat-mask": "cvat", "cvat-images": "cvat", "label-studio-brush": "label-studio",
             "yolo-seg": "yolo", "yolo-track": "yolo"}  # fmt: skip


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_frames(tmp_path_factory.mktemp("video") / "frames")


def found_again(name: str, masks: Masks, uri: str, format_name: str | None) -> dict[tuple[str, str, int], object]:
    with tempfile.TemporaryDirectory() as folder:
        for path, data in FORMATS[name]([video_masks(VIDEO_ID, masks, uri)]):
            storage.write_bytes(str(Path(folder) / path), data)
        videos = Videos({VIDEO_ID: uri, "another": "elsewhere.mp4"}, size_of=lambda uri: (HEIGHT, WIDTH))
        source = folder if name != "mot" else str(next(Path(folder).iterdir()))
        found = read_annotations(source, videos, format_name)
    return {(one.video_id, one.object_id, one.prompt.frame_index): one.prompt for one in found.prompts}


@pytest.mark.parametrize("name", OF_MASKS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(masks=made)
def test_masks_come_back(frames: str, name: str, masks: Masks) -> None:
    found = found_again(name, masks, frames, None)
    expected = present(masks)
    assert found.keys() == {(VIDEO_ID, *place) for place in expected}
    for (_, *place), prompt in found.items():
        assert isinstance(prompt, MaskPrompt)
        np.testing.assert_array_equal(decode_mask(prompt.mask), expected[tuple(place)])  # type: ignore[index]


@pytest.mark.parametrize("name", OF_BOXES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(masks=made)
def test_boxes_come_back(frames: str, name: str, masks: Masks) -> None:
    found = found_again(name, masks, frames, None)
    video = video_masks(VIDEO_ID, masks)
    names = {object_id: str(number) for object_id, number in video.numbers().items()} if name == "mot" else {}
    expected = {(VIDEO_ID, names.get(object_id, object_id), frame): box_of(mask)
                for (object_id, frame), mask in present(masks).items()
                if box_of(mask) != (0, 0, 1, 1)}  # fmt: skip
    assert found.keys() == expected.keys()
    for place, prompt in found.items():
        assert isinstance(prompt, BoxPrompt)
        np.testing.assert_allclose(prompt.box_xyxy, expected[place], atol=1e-3)


@pytest.mark.parametrize("name", [*OF_MASKS, *OF_BOXES])
def test_a_format_may_be_named_and_every_one_is_tried_here(frames: str, name: str) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[2:5, 3:6] = True
    named = FORMAT_OF.get(name, name)
    assert set(IMPORTS) == {*(FORMAT_OF.get(one, one) for one in [*OF_MASKS, *OF_BOXES]), "masks", "prompts"}
    assert found_again(name, {("1", 2): mask}, frames, named).keys() == {(VIDEO_ID, "1", 2)}


@settings(max_examples=10, deadline=None)
@given(masks=made)
def test_our_own_tables_come_back(masks: Masks) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_output(folder, VIDEO_ID, masks)
        found = read_annotations(folder, Videos({}))
    expected = present(masks)
    assert {(one.object_id, one.prompt.frame_index) for one in found.prompts} == expected.keys()
    assert sum(found.left_out.values()) == len(masks) - len(expected)
    for one in found.prompts:
        assert isinstance(one.prompt, MaskPrompt)
        np.testing.assert_array_equal(decode_mask(one.prompt.mask), expected[one.object_id, one.prompt.frame_index])
