import contextlib
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch import storage
from samurai_batch.errors import PromptError, PromptsError
from samurai_batch.manifest import parse_prompts, read_prompts, write_prompts
from samurai_batch.prompts import BoxPrompt
from samurai_batch.tasks import Track, Video
from tests.manifest.prompt_rows import (
    BOX,
    MASK,
    POINTS,
)

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
                "row 2: it has 2 cell(s), but the header 6",
                "row 3: frame_index is '-1': it should not be negative",
                "row 4: it has 9 cell(s), but the header 6",
            ],
        ),
        ("a.csv", HEADER.replace(b"kind", b"object_id") + GOOD, ["column kind is missing", "column object_id appears"]),
        (
            "a.jsonl",
            b'{"video_id": "v"\n[1]\n\n' + json.dumps({**BOX, "frame_index": -2}).encode(),
            [
                "row 1: it is not JSON (Expecting ',' delimiter",
                "row 2: it is not a JSON object",
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
        ("a.xlsx", b"", ["its format is not known; the name should end in one of .parquet"]),
        ("a.csv.gz", b"", ["its format is not known"]),
    ],
)
def test_a_file_that_cannot_be_read_says_why(name: str, data: bytes, problems: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PromptsError) as caught:
        read_prompts(str(tmp_path / name))
    assert len(caught.value.problems) == len(problems)
    for found, problem in zip(caught.value.problems, problems, strict=True):
        assert problem in found


def test_a_parquet_table_whose_texts_are_no_texts_is_refused(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(struct.pack("<2i", 0, 1)), pa.py_buffer(b"\xf7")])
    pq.write_table(pa.table([bad], names=["video_id"]), tmp_path / "a.parquet")
    with pytest.raises(PromptsError, match="cannot be read"):
        read_prompts(str(tmp_path / "a.parquet"))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(PromptsError, match=r"none.csv: 1 problem\(s\)\n  there is no such file"):
        read_prompts("memory://manifest/none.csv")


def test_a_parquet_table_with_a_doubled_column_is_refused(tmp_path: Path) -> None:
    table = pa.table([["v"], ["w"]], names=["video_id", "video_id"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(PromptsError, match="column video_id appears twice"):
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


def num_calls(function: Callable[[], object]) -> int:
    """How many functions are called meanwhile, Python's and those in C: work that no other process makes longer."""
    count = 0

    def called(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_reading_a_table_is_little_work_for_each_row_and_grows_no_faster_than_its_rows(tmp_path: Path) -> None:
    def calls_of(num_tracks: int) -> int:
        tracks = [
            Track(
                video=Video(f"video {n // 40}", f"s3://bucket/{n // 40}.mp4"),
                object_id=str(n),
                prompts=tuple(BoxPrompt(frame, (n, 1.5, n + 10, 20)) for frame in range(10)),
            )
            for n in range(num_tracks)
        ]
        table = str(tmp_path / f"{num_tracks}.parquet")
        write_prompts(table, tracks)
        assert read_prompts(table) == tracks  # and what is loaded once is
        return num_calls(lambda: read_prompts(table))

    small, large = calls_of(200), calls_of(800)
    assert large <= 4 * small
    assert large / 8000 < 200  # rows; 130 calls for each when this was written


def test_three_bad_rows_among_many_are_told_by_their_numbers(tmp_path: Path) -> None:
    num_rows = 30_000
    numbers = np.arange(num_rows)
    columns = {
        "video_id": [f"v{number // 10}" for number in numbers],
        "video_uri": [f"v{number // 10}.mp4" for number in numbers],
        "object_id": [str(number % 10) for number in numbers],
        "frame_index": np.where(np.isin(numbers, (0, 14_999, num_rows - 1)), -1, numbers % 100),
        "kind": np.full(num_rows, "box"),
        "box_xyxy": pa.FixedSizeListArray.from_arrays(np.tile([1.0, 2.0, 30.0, 40.0], num_rows), 4),
    }
    pq.write_table(pa.table(columns), tmp_path / "prompts.parquet", row_group_size=7_000)
    with pytest.raises(PromptsError) as caught:
        read_prompts(str(tmp_path / "prompts.parquet"))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["row 1", "row 15000", "row 30000"]


def test_a_data_frame_is_written_once_it_is_checked(tmp_path: Path) -> None:
    rows = {"video_id": ["v", "v"], "video_uri": ["v.mp4"] * 2, "object_id": ["a", "b"], "frame_index": [0, 3]}
    frame = pd.DataFrame({**rows, "kind": ["box"] * 2, "box_xyxy": [[0, 0, 5, 5], [1, 1, 9, 9]]})
    uri = str(tmp_path / "prompts.parquet")
    write_prompts(uri, frame)
    assert [track.prompts[0] for track in read_prompts(uri)] == [
        BoxPrompt(0, (0.0, 0.0, 5.0, 5.0)),
        BoxPrompt(3, (1.0, 1.0, 9.0, 9.0)),
    ]
    with pytest.raises(PromptsError, match="row 2: frame_index is -3"):
        write_prompts(uri, frame.assign(frame_index=[0, -3]))


def test_two_tracks_of_one_name_are_not_written_as_one(tmp_path: Path) -> None:
    track = Track(video=Video("v", "v.mp4"), object_id="a", prompts=(BoxPrompt(0, (0.0, 0.0, 5.0, 5.0)),))
    with pytest.raises(PromptError, match="there are two tracks of that name"):
        write_prompts(str(tmp_path / "prompts.csv"), [track, track])
