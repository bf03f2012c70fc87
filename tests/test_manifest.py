import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import ConfigError, PromptsError
from samurai_batch.manifest import parse_prompts, prompts_from_flags, read_prompts, write_prompts
from samurai_batch.rle import decode_mask, encode_mask, rle_to_coco
from samurai_batch.tasks import BoxPrompt, MaskPrompt, PointsPrompt, Prompt, Rle, Track, Video

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
    """What is wrong with a table of these rows, as a data frame of objects."""
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
coordinates = st.floats(0, 5000, allow_subnormal=False)
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
    videos = [Video(name, draw(texts)) for name in draw(st.lists(texts, min_size=1, max_size=3, unique=True))]
    tracks = []
    for video in videos:
        for object_id in draw(st.lists(texts, min_size=1, max_size=2, unique=True)):
            frames = sorted(draw(st.sets(st.integers(0, 2**31 - 1), min_size=1, max_size=3)))
            prompts = [prompt for frame in frames for prompt in draw(prompts_of_one_frame(frame))]
            tracks.append(
                Track(
                    video=video,
                    object_id=object_id,
                    prompts=tuple(prompts),
                    start_frame=draw(st.none() | st.integers(0, frames[0])),
                    end_frame=draw(st.none() | st.integers(frames[-1], 2**31 - 1)),
                    direction=draw(st.sampled_from(["forward", "backward", "both"])),
                )
            )
    return tracks


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
@settings(deadline=None, max_examples=60)
@given(tracks=tracks_of_a_job())
def test_tracks_come_back_from_every_format_as_they_were(ending: str, tracks: list[Track]) -> None:
    uri = f"memory://manifest/prompts.{ending}"
    write_prompts(uri, tracks)
    assert read_prompts(uri) == tracks


@pytest.mark.server
def test_a_table_on_s3_is_read(s3_uri: str) -> None:
    track = Track(video=Video("v", "s3://b/v.mp4"), object_id="1", prompts=(BoxPrompt(3, (1, 2, 3, 4)),))
    for ending in ("parquet", "csv", "jsonl"):
        write_prompts(f"{s3_uri}/prompts.{ending}", [track])
        assert read_prompts(f"{s3_uri}/prompts.{ending}") == [track]


def test_rows_of_a_track_are_put_together_wherever_they_stand() -> None:
    rows = [
        {**BOX, "frame_index": 9},
        {**BOX, "object_id": "other"},
        {**POINTS, "frame_index": 4, "end_frame": 20, "direction": "both"},
        {**POINTS, "frame_index": 9},
    ]
    first, second = parse_prompts(pd.DataFrame(rows))
    points = ((1.0, 2.0), (3.5, 4.0))
    assert first == Track(
        video=Video("v", "v.mp4"),
        object_id="o",
        prompts=(
            PointsPrompt(4, points, (1, 0)),
            BoxPrompt(9, (1, 2, 3, 4)),
            PointsPrompt(9, points, (1, 0)),
        ),
        end_frame=20,
        direction="both",
    )
    assert second.object_id == "other"
    assert (second.end_frame, second.direction) == (None, "forward")


@given(st.permutations([BOX, {**POINTS, "frame_index": 2}, {**MASK, "frame_index": 1}]))
def test_the_order_of_rows_does_not_change_a_track(rows: list[dict[str, Any]]) -> None:
    (track,) = parse_prompts(pd.DataFrame(rows))
    assert [type(prompt) for prompt in track.prompts] == [BoxPrompt, MaskPrompt, PointsPrompt]


def test_a_row_of_a_mask_table_serves_as_a_prompt(tmp_path: Path) -> None:
    table = pa.table({"segmentation": [rle_to_coco(an_rle())]})
    pq.write_table(table, tmp_path / "masks.parquet")
    segmentation = pd.read_parquet(tmp_path / "masks.parquet").segmentation[0]
    (track,) = parse_prompts(pd.DataFrame([{**MASK, "mask": segmentation}]))
    assert track.prompts == (MaskPrompt(0, an_rle()),)


def test_csv_takes_lists_as_json_text_and_empty_cells_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "prompts.CSV"
    path.write_text(
        "\ufeffvideo_id,video_uri,object_id,frame_index,kind,box_xyxy,points_xy,labels,mask,start_frame,direction\n"
        'null,a.mp4,1,3.0,box,"[1, 2, 3.5, 4]",,,,0,backward\n'
        "\n"
        'null,a.mp4,2,3,points,,"[[1, 2]]",[1],,,\n'
        f'null,a.mp4,3,3,mask,,,,"{json.dumps(rle_to_coco(an_rle())).replace(chr(34), chr(34) * 2)}",,\n'
    )
    box, points, mask = read_prompts(str(path))
    assert box.video.video_id == "null"
    assert (box.prompts, box.start_frame, box.direction) == ((BoxPrompt(3, (1, 2, 3.5, 4)),), 0, "backward")
    assert points.prompts == (PointsPrompt(3, ((1, 2),), (1,)),)
    assert mask.prompts == (MaskPrompt(3, an_rle()),)


def test_parquet_that_pandas_wrote_is_read_with_whatever_index(tmp_path: Path) -> None:
    frame = pd.DataFrame([BOX, {**BOX, "object_id": "p", "start_frame": 0}])
    frame["kind"] = frame["kind"].astype("category")
    frame.index = pd.Index([7, 9])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.set_index(["video_id", "object_id"]).to_parquet(tmp_path / "b.parquet")
    first, second = read_prompts(str(tmp_path / "a.parquet")), read_prompts(str(tmp_path / "b.parquet"))
    assert first == second
    assert [(track.object_id, track.start_frame) for track in first] == [("o", None), ("p", 0)]


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (np.array([[0, 1], [0, 255]], np.uint8), None),
        (np.array([[0, 1], [0, 255]], np.uint8), "P"),
        (np.array([[0, 255], [0, 255]], np.uint8), "1"),
        (np.array([[0, 256], [0, 1]], np.uint16), None),
        (np.array([[[0, 0, 0], [0, 9, 0]], [[0, 0, 0], [1, 0, 0]]], np.uint8), None),
        (np.array([[[9, 9, 9, 0], [0, 9, 0, 255]], [[0, 0, 0, 255], [1, 0, 0, 9]]], np.uint8), None),
    ],
)
def test_a_png_is_the_mask_of_what_is_neither_zero_nor_transparent(
    tmp_path: Path, pixels: NDArray[Any], mode: str | None
) -> None:
    (tmp_path / "mask.png").write_bytes(png(pixels, mode))
    (track,) = parse_prompts(pd.DataFrame([{**MASK, "mask": str(tmp_path / "mask.png")}]))
    (prompt,) = track.prompts
    assert isinstance(prompt, MaskPrompt)
    np.testing.assert_array_equal(decode_mask(prompt.mask), [[False, True], [False, True]])


def test_a_png_that_many_rows_name_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "memory://manifest/mask.png"
    storage.write_bytes(uri, png(np.ones((2, 2), np.uint8)))
    asked = []
    read_bytes = storage.read_bytes

    def read_and_remember(uri: str) -> bytes:
        asked.append(uri)
        return read_bytes(uri)

    monkeypatch.setattr(storage, "read_bytes", read_and_remember)
    rows = [{**MASK, "mask": uri, "object_id": str(number)} for number in range(9)]
    assert len(parse_prompts(pd.DataFrame(rows))) == 9
    assert asked == [uri]


def test_a_table_without_rows_is_no_tracks(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("video_id,video_uri,object_id,frame_index,kind\n")
    assert read_prompts(str(path)) == []


# --- tables that are wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"video_id": None}, "row 1: video_id is missing: every row needs it"),
        ({"video_id": ""}, "row 1: video_id is missing: every row needs it"),
        ({"object_id": 7}, "row 1: object_id is 7: is of type int, not text; write it in quotes"),
        ({"object_id": ["a"]}, "row 1: object_id is ['a']: is of type list, not text"),
        ({"object_id": " \t"}, "row 1: object_id is ' \\t': is blank; give it a name"),
        ({"object_id": "\ud800"}, "row 1: object_id is '\\ud800': holds a character that cannot be stored"),
        ({"object_id": "a\0"}, "row 1: object_id is 'a\\x00': holds a character that cannot be stored"),
        ({"object_id": "é" * 45}, "is too long to name a file (URL-quoted, 247 bytes); shorten it"),
        ({"frame_index": None}, "row 1: frame_index is missing"),
        ({"frame_index": float("nan")}, "row 1: frame_index is missing"),
        ({"frame_index": -1}, "row 1: frame_index is -1: is negative; frames count from 0"),
        ({"frame_index": 1.5}, "row 1: frame_index is 1.5: is not a whole number"),
        ({"frame_index": float("inf")}, "row 1: frame_index is inf: is not a whole number"),
        ({"frame_index": True}, "row 1: frame_index is True: is not a whole number"),
        ({"frame_index": "1_0"}, "row 1: frame_index is '1_0': is not a whole number"),
        ({"frame_index": [1]}, "row 1: frame_index is [1]: is not a whole number"),
        ({"frame_index": 10**400}, "is greater than 2147483647"),
        ({"frame_index": "-7.0"}, "row 1: frame_index is '-7.0': is negative"),
        ({"frame_index": 2**31}, "row 1: frame_index is 2147483648: is greater than 2147483647"),
        ({"kind": "Box"}, "row 1: kind is 'Box': is not a kind of prompt; use box, points, mask"),
        ({"kind": "text", "box_xyxy": None}, "row 1: text is missing: a row of kind text needs it"),
        ({"kind": "everything"}, "a row of kind everything has no box_xyxy; leave it empty"),
        ({"kind": None}, "row 1: kind is missing"),
        ({"box_xyxy": None}, "row 1: box_xyxy is missing: a row of kind box needs it"),
        ({"box_xyxy": []}, "row 1: box_xyxy is missing: a row of kind box needs it"),
        ({"box_xyxy": [1, 2, 3]}, "row 1: box_xyxy is [1, 2, 3]: is not four numbers; write the corners"),
        ({"box_xyxy": [1, 2, 3, "4"]}, "row 1: box_xyxy is [1, 2, 3, '4']: is not four numbers"),
        ({"box_xyxy": [1, 2, 3, True]}, "row 1: box_xyxy is [1, 2, 3, True]: is not four numbers"),
        ({"box_xyxy": [1, 2, 3, 10**400]}, "is not four numbers"),
        ({"box_xyxy": {"x": 1}}, "is not four numbers"),
        ({"box_xyxy": "1,2,3,4"}, "row 1: box_xyxy is '1,2,3,4': is not JSON text; write lists as in [1, 2]"),
        ({"box_xyxy": "[" * 100_000}, "is not JSON text"),
        ({"box_xyxy": [1, 2, 3, float("nan")]}, "row 1: box_xyxy is [1, 2, 3, nan]: holds NaN or infinity"),
        ({"box_xyxy": [3, 2, 1, 4]}, "row 1: box_xyxy is [3, 2, 1, 4]: x2 must be greater than x1"),
        ({"box_xyxy": np.array([1, 2, 3, 2])}, "row 1: box_xyxy is [1, 2, 3, 2]: x2 must be greater than x1"),
        ({"box_xyxy": [-5, 2, -1, 4]}, "row 1: box_xyxy is [-5, 2, -1, 4]: lies wholly outside the picture"),
        ({"labels": [1]}, "row 1: labels is [1]: a row of kind box has no labels; leave it empty"),
        ({"text": "a dog"}, "row 1: text is 'a dog': a row of kind box has no text; leave it empty"),
        ({"start_frame": -3}, "row 1: start_frame is -3: is negative"),
        ({"direction": "back"}, "row 1: direction is 'back': is not a direction; use forward, backward, both"),
        ({"start_frame": 1}, "row 1: frame_index is 0: outside the frames of its track, 1 to the last; move"),
        ({"frame_index": 9, "end_frame": 8}, "row 1: frame_index is 9: outside the frames of its track, 0 to 8"),
        ({"start_frame": 5, "end_frame": 3}, "row 1: end_frame is 3: its track starts later, at start_frame 5"),
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
        ({"points_xy": [1, 2]}, "row 1: points_xy is [1, 2]: is not a list of points; write [[x, y], ...]"),
        ({"points_xy": [[1, 2, 3], [4, 5]]}, "is not a list of points"),
        ({"points_xy": "[[1, 2], [3, Infinity]]"}, "holds NaN or infinity"),
        ({"points_xy": [[1, 2], [-1, 0]]}, "holds a point outside the picture"),
        ({"labels": [1, 2]}, "row 1: labels is [1, 2]: is not a list of labels; write 1 for a point on the"),
        ({"labels": [1, True]}, "is not a list of labels"),
        ({"labels": [1]}, "row 1: labels is [1]: 1 label(s) for 2 point(s); give one label for each point"),
        ({"labels": [0, 0]}, "row 1: frame 0 of its track has only negative points; add a box, or a point"),
        ({"box_xyxy": [1, 2, 3, 4]}, "a row of kind points has no box_xyxy; leave it empty, or give it a row"),
    ],
)
def test_bad_points_are_named_with_their_value_and_the_remedy(change: dict[str, Any], problem: str) -> None:
    (found,) = problems_of({**POINTS, **change})
    assert problem in found


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (None, "row 1: mask is missing: a row of kind mask needs it"),
        (3, "row 1: mask is 3: is neither a COCO RLE nor the URI of a PNG; give one of them"),
        ("{'size'}", "is not JSON text"),
        ({"size": [2, 2], "counts": "0"}, "its runs cover 0 pixels, but its size 2 x 2 has 4; encode the mask"),
        ({"size": [2, 2], "counts": [4]}, "the mask is empty; mark at least one pixel"),
        ("memory://manifest/none.png", "mask is 'memory://manifest/none.png': there is no such PNG"),
        ("memory://manifest/text.png", "is not a PNG that can be read; save the mask as PNG again"),
        ("memory://manifest/half.png", "is not a PNG that can be read"),
        ("memory://manifest/jpeg.png", "is not a PNG that can be read"),
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
            "row 2: video_uri is 'w.mp4': row 1 of the same video says 'v.mp4'; make them agree",
        ),
        (
            [{**BOX, "start_frame": 0}, {**BOX, "frame_index": 3}, {**POINTS, "frame_index": 9, "start_frame": 1}],
            "row 3: start_frame is 1: row 1 of the same track says 0; make them agree",
        ),
        (
            [{**BOX, "direction": "both"}, {**POINTS, "direction": "forward"}],
            "row 2: direction is 'forward': row 1 of the same track says 'both'; make them agree",
        ),
        ([BOX, {**BOX, "object_id": "p"}, BOX], "row 3: repeats row 1; remove one of them"),
        ([POINTS, BOX, POINTS], "row 3: repeats row 1; remove one of them"),
        (
            [BOX, {**BOX, "box_xyxy": [0, 0, 9, 9]}],
            "row 2: a second box on frame 0 of its track, after row 1; keep one of them",
        ),
        (
            [BOX, MASK],
            "row 1: frame 0 of its track has a mask in row 2, and a mask stands alone; keep one of them",
        ),
        (
            [MASK, {**MASK, "mask": rle_to_coco(an_rle(1))}],
            "row 2: frame 0 of its track has a mask in row 1, and a mask stands alone; keep one of them",
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


def test_an_unreadable_row_does_not_make_its_frame_look_wrong_as_well() -> None:
    found = problems_of({**POINTS, "labels": [0, 0]}, {**BOX, "box_xyxy": [9, 9, 1, 1]})
    assert len(found) == 1
    assert "x2 must be greater" in found[0]


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
        "column object_id stands there twice",
    ]
    assert caught.value.problems[2].endswith("did you mean box_xyxy?")


def test_a_missing_prompt_column_is_told_for_the_rows_that_need_it() -> None:
    frame = pd.DataFrame([BOX, {**BOX, "object_id": "p"}]).drop(columns=["box_xyxy"])
    with pytest.raises(PromptsError) as caught:
        parse_prompts(frame)
    assert caught.value.problems == [f"row {n}: box_xyxy is missing: a row of kind box needs it" for n in (1, 2)]


HEADER = b"video_id,video_uri,object_id,frame_index,kind,box_xyxy\n"
GOOD = b'v,v.mp4,o,0,box,"[1,2,3,4]"\n'


@pytest.mark.parametrize(
    ("name", "data", "problems"),
    [
        ("a.csv", b"", ["cannot be read (Empty CSV file); write it again"]),
        ("a.csv", HEADER + b"\xff,v.mp4,o,0,box,\n", ["cannot be read ('utf-8' codec can't decode"]),
        (
            "a.csv",
            HEADER + GOOD + b"v,v.mp4\n" + b"\n" + b'v,v.mp4,p,-1,box,"[1,2,3,4]"\n' + b"v,v.mp4,q,0,box,1,2,3,4\n",
            [
                "row 2: has 2 cell(s), but the header 6",
                "row 3: frame_index is '-1': is negative",
                "row 4: has 9 cell(s), but the header 6",
            ],
        ),
        ("a.csv", HEADER.replace(b"kind", b"object_id") + GOOD, ["column kind is missing", "column object_id stands"]),
        (
            "a.jsonl",
            b'{"video_id": "v"\n[1]\n\n' + json.dumps({**BOX, "frame_index": -2}).encode(),
            [
                "row 1: is not JSON (Expecting ',' delimiter",
                "row 2: is not a JSON object",
                "row 3: frame_index is -2",
            ],
        ),
        (
            "a.jsonl",
            b'{"video_id": "v"}\n',
            [f"column {name} is" for name in ("video_uri", "object_id", "frame_index", "kind")],
        ),
        ("a.parquet", b"PAR1", ["cannot be read ("]),
        ("a.parquet", b"", ["cannot be read ("]),
        ("a.xlsx", b"", ["its name does not say which format it is in; let it end in one of .parquet"]),
        ("a.csv.gz", b"", ["its name does not say which format it is in"]),
    ],
)
def test_a_file_that_cannot_be_read_says_why(name: str, data: bytes, problems: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PromptsError) as caught:
        read_prompts(str(tmp_path / name))
    assert len(caught.value.problems) == len(problems)
    for found, problem in zip(caught.value.problems, problems, strict=True):
        assert problem in found


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(PromptsError, match=r"none.csv: 1 problem\(s\)\n  there is no such file"):
        read_prompts("memory://manifest/none.csv")


def test_a_parquet_table_with_a_doubled_column_is_refused(tmp_path: Path) -> None:
    table = pa.table([["v"], ["w"]], names=["video_id", "video_id"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(PromptsError, match="column video_id stands there twice"):
        read_prompts(str(tmp_path / "a.parquet"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={name: json_values | st.just(value) for row in (BOX, POINTS, MASK) for name, value in row.items()}
            | {"start_frame": json_values, "direction": json_values, "text": json_values},
        ).map(lambda changes: {**BOX, **changes}),
        min_size=1,
        max_size=3,
    )
)
def test_junk_is_either_refused_as_bad_rows_or_read(rows: list[dict[str, Any]]) -> None:
    storage.write_bytes("memory://manifest/junk.jsonl", "\n".join(map(json.dumps, rows)).encode())
    with contextlib.suppress(PromptsError):
        read_prompts("memory://manifest/junk.jsonl")
    with contextlib.suppress(PromptsError):
        parse_prompts(pd.DataFrame(rows))


@pytest.mark.slow
def test_a_large_table_is_read_in_seconds(tmp_path: Path) -> None:
    tracks = [
        Track(
            video=Video(f"video {n // 40}", f"s3://bucket/{n // 40}.mp4"),
            object_id=str(n),
            prompts=tuple(BoxPrompt(frame, (n, 1.5, n + 10, 20)) for frame in range(10)),
        )
        for n in range(20_000)
    ]
    write_prompts(str(tmp_path / "a.parquet"), tracks)
    start_s = time.process_time()
    assert len(read_prompts(str(tmp_path / "a.parquet"))) == 20_000
    assert time.process_time() - start_s < 10


# --- flags --------------------------------------------------------------------------------------------------


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
        ({"boxes": ["1,2,3"]}, "--box 1,2,3: has 3 number.s.; write x1,y1,x2,y2 in pixels"),
        ({"boxes": ["1,2,x,4"]}, "--box 1,2,x,4: is not numbers between commas; write x1,y1,x2,y2 in pixels"),
        ({"boxes": ["5,5,1,1"]}, "--box 5,5,1,1: x2 must be greater than x1"),
        ({"boxes": ["1,1,nan,2"]}, "--box 1,1,nan,2: holds NaN"),
        ({"points": ["-1,2"]}, "--point -1,2: holds a point outside the picture"),
        ({"points": ["1,2,3"]}, "--point 1,2,3: has 3 number.s.; write x,y in pixels"),
        ({"negatives": ["1,2"]}, "--negative alone says where the object is not; add --point"),
        ({"boxes": ["1,1,2,2"] * 2, "points": ["1,2"]}, "--point and --negative cannot tell which of 2 objects"),
        ({"masks": ["memory://manifest/none.png"]}, "--mask memory://manifest/none.png: there is no such PNG"),
        ({"masks": ["memory://manifest/one.png"], "points": ["1,2"]}, "--mask stands alone on its frame"),
        ({"boxes": ["1,1,2,2"], "frame": -1}, "--frame -1: is negative; frames count from 0"),
        ({"boxes": ["1,1,2,2"], "end_frame": -1}, "--end-frame -1: is negative"),
        ({"boxes": ["1,1,2,2"], "start_frame": 4}, "--frame 0 lies before --start-frame 4"),
        ({"boxes": ["1,1,2,2"], "frame": 4, "end_frame": 3}, "--frame 4 lies after --end-frame 3"),
    ],
)
def test_a_wrong_flag_is_named_with_its_value_and_the_remedy(flags: dict[str, Any], message: str) -> None:
    storage.write_bytes("memory://manifest/one.png", png(np.ones((2, 2), np.uint8)))
    with pytest.raises(ConfigError, match=message):
        prompts_from_flags("clip.mp4", **flags)
