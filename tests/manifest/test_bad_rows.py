import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import PromptsError
from samurai_batch.manifest import parse_prompts
from samurai_batch.rle import rle_to_coco
from tests.manifest.prompt_rows import (
    BOX,
    MASK,
    POINTS,
    an_rle,
    png,
    problems_of,
)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"video_id": None}, "row 1: video_id is missing: every row needs it"),
        ({"video_id": ""}, "row 1: video_id is missing: every row needs it"),
        ({"object_id": 7}, "row 1: object_id is 7: it should be text; write it in quotes"),
        ({"object_id": ["a"]}, "row 1: object_id is ['a']: it should be text"),
        ({"object_id": " \t"}, "row 1: object_id is ' \\t': it should not be blank"),
        ({"object_id": "\ud800"}, "row 1: object_id is '\\ud800': it holds a character that cannot be stored"),
        ({"object_id": "a\0"}, "row 1: object_id is 'a\\x00': it holds a character that cannot be stored"),
        ({"object_id": "é" * 45}, "it is too long to name a file (URL-quoted, at most 247 bytes); shorten it"),
        ({"frame_index": None}, "row 1: frame_index is missing"),
        ({"frame_index": float("nan")}, "row 1: frame_index is missing"),
        ({"frame_index": -1}, "row 1: frame_index is -1: it should not be negative; the first frame is 0"),
        ({"frame_index": 1.5}, "row 1: frame_index is 1.5: it should be a whole number"),
        ({"frame_index": float("inf")}, "row 1: frame_index is inf: it should be a whole number"),
        ({"frame_index": True}, "row 1: frame_index is True: it should be a whole number"),
        ({"frame_index": "1_0"}, "row 1: frame_index is '1_0': it should be a whole number"),
        ({"frame_index": [1]}, "row 1: frame_index is [1]: it should be a whole number"),
        ({"frame_index": 10**400}, "it should be at most 2147483647"),
        ({"frame_index": "-7.0"}, "row 1: frame_index is '-7.0': it should not be negative"),
        ({"frame_index": 2**31}, "row 1: frame_index is 2147483648: it should be at most 2147483647"),
        ({"kind": "Box"}, "row 1: kind is 'Box': did you mean box?"),
        ({"kind": "text", "box_xyxy": None}, "row 1: text is missing: a row of kind text needs it"),
        ({"kind": "everything"}, "a row of kind everything has no box_xyxy; leave it empty"),
        ({"kind": None}, "row 1: kind is missing"),
        ({"box_xyxy": None}, "row 1: box_xyxy is missing: a row of kind box needs it"),
        ({"box_xyxy": []}, "row 1: box_xyxy is missing: a row of kind box needs it"),
        (
            {"box_xyxy": [1, 2, 3]},
            "row 1: box_xyxy is [1, 2, 3]: it should be four numbers, the corners [x1, y1",
        ),
        ({"box_xyxy": [1, 2, 3, "4"]}, "row 1: box_xyxy is [1, 2, 3, '4']: it should be four numbers"),
        ({"box_xyxy": [1, 2, 3, True]}, "row 1: box_xyxy is [1, 2, 3, True]: it should be four numbers"),
        ({"box_xyxy": [1, 2, 3, 10**400]}, "it should hold finite numbers"),
        ({"box_xyxy": {"x": 1}}, "it should be four numbers"),
        ({"box_xyxy": "1,2,3,4"}, "row 1: box_xyxy is '1,2,3,4': it is not JSON; write lists as in [1, 2]"),
        ({"box_xyxy": "[" * 100_000}, "it is not JSON"),
        (
            {"box_xyxy": [1, 2, 3, float("nan")]},
            "row 1: box_xyxy is [1, 2, 3, nan]: it should hold finite numbers",
        ),
        ({"box_xyxy": [3, 2, 1, 4]}, "row 1: box_xyxy is [3, 2, 1, 4]: x2 should be greater than x1"),
        ({"box_xyxy": np.array([1, 2, 3, 2])}, "row 1: box_xyxy is [1, 2, 3, 2]: x2 should be greater than x1"),
        ({"box_xyxy": [-5, 2, -1, 4]}, "row 1: box_xyxy is [-5, 2, -1, 4]: it is outside the picture"),
        ({"labels": [1]}, "row 1: labels is [1]: a row of kind box has no labels; leave it empty"),
        ({"text": "a dog"}, "row 1: text is 'a dog': a row of kind box has no text; leave it empty"),
        ({"start_frame": -3}, "row 1: start_frame is -3: it should not be negative"),
        ({"direction": "back"}, "row 1: direction is 'back': did you mean backward?"),
        ({"start_frame": 1}, "row 1: frame_index is 0: it is outside the frames of its track, 1 to the last; move"),
        ({"frame_index": 9, "end_frame": 8}, "row 1: frame_index is 9: it is outside the frames of its track, 0 to 8"),
        ({"start_frame": 5, "end_frame": 3}, "row 1: end_frame is 3: it is before start_frame 5 of the same track"),
    ],
)
def test_a_bad_row_is_named_with_its_value_and_the_remedy(change: dict[str, Any], problem: str) -> None:
    (found,) = problems_of({**BOX, **change})
    assert problem in found


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"points_xy": None}, "row 1: points_xy is missing: a row of kind points needs it"),
        ({"labels": None}, "row 1: labels is missing: a row of kind points needs it"),
        ({"points_xy": [1, 2]}, "row 1: points_xy is [1, 2]: it should be a list of points, [[x, y], ...]"),
        ({"points_xy": [[1, 2, 3], [4, 5]]}, "it should be a list of points"),
        ({"points_xy": "[[1, 2], [3, Infinity]]"}, "it should hold finite numbers"),
        ({"points_xy": [[1, 2], [-1, 0]]}, "one point is outside the picture"),
        ({"labels": [1, 2]}, "row 1: labels is [1, 2]: it should be a list of labels, 1 for a point on the object"),
        ({"labels": [1, True]}, "it should be a list of labels"),
        ({"labels": [1]}, "row 1: labels is [1]: 1 label(s) for 2 point(s); give one label for each point"),
        ({"labels": [0, 0]}, "row 1: frame 0 of its track has only negative points; add a box, or a point"),
        ({"box_xyxy": [1, 2, 3, 4]}, "a row of kind points has no box_xyxy; leave it empty, or write another row"),
    ],
)
def test_bad_points_are_named_with_their_value_and_the_remedy(change: dict[str, Any], problem: str) -> None:
    (found,) = problems_of({**POINTS, **change})
    assert problem in found


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (None, "row 1: mask is missing: a row of kind mask needs it"),
        (3, "row 1: mask is 3: it should be a COCO RLE or the URI of a PNG"),
        ("{'size'}", "it is not JSON"),
        ({"size": [2, 2], "counts": "0"}, "its runs cover 0 pixels, but its size 2 x 2 has 4; encode the mask"),
        ({"size": [2, 2], "counts": [4]}, "the mask is empty; mark at least one pixel"),
        ("memory://manifest/none.png", "mask is 'memory://manifest/none.png': there is no such PNG"),
        ("memory://manifest/text.png", "it cannot be read as PNG; save the mask as PNG again"),
        ("memory://manifest/half.png", "it cannot be read as PNG"),
        ("memory://manifest/jpeg.png", "it cannot be read as PNG"),
        ("memory://manifest/zero.png", "the mask is empty: all its pixels are 0"),
        ("nothing://here/mask.png", "reading the PNG failed"),
    ],
)
def test_a_bad_mask_is_named_with_its_value_and_the_remedy(mask: object, problem: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG")
    storage.write_bytes("memory://manifest/text.png", b"no picture")
    storage.write_bytes("memory://manifest/half.png", png(pixels)[:500])
    storage.write_bytes("memory://manifest/jpeg.png", jpeg.getvalue())
    storage.write_bytes("memory://manifest/zero.png", png(pixels * 0))
    (found,) = problems_of({**MASK, "mask": mask})
    assert problem in found


def test_all_bad_rows_are_told_at_once_in_their_order() -> None:
    found = problems_of(
        BOX,
        {**BOX, "object_id": "p", "frame_index": -1, "box_xyxy": [3, 3, 1, 1], "kind": "box"},
        {**BOX, "object_id": "", "kind": "circle"},
        {**BOX, "object_id": "q"},
        {**POINTS, "object_id": "r", "labels": [0, 7]},
    )
    assert [problem.split(" is")[0] for problem in found] == [
        "row 2: frame_index",
        "row 2: box_xyxy",
        "row 3: object_id",
        "row 3: kind",
        "row 5: labels",
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [BOX, {**BOX, "object_id": "p", "video_uri": "w.mp4"}],
            "row 2: video_uri is 'w.mp4': row 1 of the same video has 'v.mp4'; make them agree",
        ),
        (
            [{**BOX, "start_frame": 0}, {**BOX, "frame_index": 3}, {**POINTS, "frame_index": 9, "start_frame": 1}],
            "row 3: start_frame is 1: row 1 of the same track has 0; make them agree",
        ),
        (
            [{**BOX, "direction": "both"}, {**POINTS, "direction": "forward"}],
            "row 2: direction is 'forward': row 1 of the same track has 'both'; make them agree",
        ),
        ([BOX, {**BOX, "object_id": "p"}, BOX], "row 3: repeats row 1; remove one of them"),
        ([POINTS, BOX, POINTS], "row 3: repeats row 1; remove one of them"),
        (
            [BOX, {**BOX, "box_xyxy": [0, 0, 9, 9]}],
            "row 2: a second box on frame 0 of its track, after row 1; keep one of them",
        ),
        (
            [BOX, MASK],
            "row 1: frame 0 of its track has a mask in row 2, which excludes other prompts; keep one of them",
        ),
        (
            [MASK, {**MASK, "mask": rle_to_coco(an_rle(1))}],
            "row 2: frame 0 of its track has a mask in row 1, which excludes other prompts; keep one of them",
        ),
        (
            [BOX, {**POINTS, "frame_index": 5, "labels": [0, 0]}],
            "row 2: frame 5 of its track has only negative points; add a box, or a point with label 1",
        ),
    ],
)
def test_rows_that_contradict_each_other_are_named(rows: list[dict[str, Any]], expected: str) -> None:
    assert problems_of(*rows) == [expected]


def test_negative_points_beside_a_box_or_a_click_are_fine() -> None:
    negative = {**POINTS, "labels": [0, 0]}
    (with_box,) = parse_prompts(pd.DataFrame([BOX, negative]))
    (with_click,) = parse_prompts(pd.DataFrame([POINTS, negative]))
    assert len(with_box.prompts) == len(with_click.prompts) == 2


def test_an_unreadable_row_causes_no_second_error_for_its_frame() -> None:
    found = problems_of({**POINTS, "labels": [0, 0]}, {**BOX, "box_xyxy": [9, 9, 1, 1]})
    assert len(found) == 1
    assert "x2 should be greater" in found[0]


def test_columns_that_are_missing_unknown_or_doubled_are_named() -> None:
    frame = pd.DataFrame([{**BOX, "box": 1, "colour": "red"}]).drop(columns=["video_uri", "kind"])
    frame = pd.concat([frame, frame[["object_id"]]], axis=1)
    with pytest.raises(PromptsError) as caught:
        parse_prompts(frame, "s3://key:secret@bucket/prompts.parquet?token=1")
    assert caught.value.source == "s3://***@bucket/prompts.parquet?***"
    starts = [problem.split(";")[0] for problem in caught.value.problems]
    assert starts == [
        "column video_uri is missing",
        "column kind is missing",
        "column box is not known",
        "column colour is not known",
        "column object_id appears twice",
    ]
    assert caught.value.problems[2].endswith("did you mean box_xyxy?")


def test_a_missing_prompt_column_is_told_for_the_rows_that_need_it() -> None:
    frame = pd.DataFrame([BOX, {**BOX, "object_id": "p"}]).drop(columns=["box_xyxy"])
    with pytest.raises(PromptsError) as caught:
        parse_prompts(frame)
    assert caught.value.problems == [f"row {n}: box_xyxy is missing: a row of kind box needs it" for n in (1, 2)]
