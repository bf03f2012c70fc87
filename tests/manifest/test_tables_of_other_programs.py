"""Prompts tables as Excel, pandas and Spark write them: read as what they mean, or refused with the remedy."""

import io
import json
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samurai_batch import storage
from samurai_batch.errors import PromptsError
from samurai_batch.manifest import read_prompts, write_prompts
from samurai_batch.manifest.formats import separated
from samurai_batch.prompts import Box, BoxPrompt, PointsPrompt
from samurai_batch.tasks import Track, Video
from tests.manifest.prompt_rows import tracks_of_a_job

NAMES = ["video_id", "video_uri", "object_id", "frame_index", "kind", "box_xyxy"]
ROW = ["v", "é/v.mp4", "o", "0", "box", "[1, 2, 30, 40.5]"]
TRACK = Track(video=Video("v", "é/v.mp4"), object_id="o", prompts=(BoxPrompt(0, (1, 2, 30, 40.5)),))


def table(separator: str = ",", names: list[str] = NAMES, row: list[str] = ROW, end: str = "\n") -> str:
    sink = io.StringIO(newline="")
    pd.DataFrame([row], columns=names).to_csv(sink, sep=separator, index=False, lineterminator=end)
    return sink.getvalue()


def read(data: bytes, name: str = "prompts.csv") -> list[Track]:
    storage.write_bytes(f"memory://others/{name}", data)
    return read_prompts(f"memory://others/{name}")


def refusal(data: bytes, name: str = "prompts.csv") -> list[str]:
    with pytest.raises(PromptsError) as caught:
        read(data, name)
    return caught.value.problems


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("first", ["", "sep={}\r\n", "sep={}\n", '"sep={}"\r\n', "SEP={}\n"])
def test_every_separator_and_encoding_of_unicode_is_read(encoding: str, separator: str, first: str) -> None:
    for end in ("\n", "\r\n"):
        text = first.format(separator) + table(separator, end=end)
        assert read(text.encode(encoding)) == [TRACK]


@given(tracks=tracks_of_a_job(), separator=st.sampled_from(";\t|"))
def test_any_table_means_the_same_with_any_separator(tracks: list[Track], separator: str) -> None:
    write_prompts("memory://others/comma.csv", tracks)
    frame = pd.read_csv(io.BytesIO(storage.read_bytes("memory://others/comma.csv")), dtype=str, keep_default_na=False)
    sink = io.StringIO(newline="")
    frame.to_csv(sink, sep=separator, index=False, lineterminator="\n")
    assert separated(sink.getvalue())[1] == separator


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "mac-roman"])
def test_an_encoding_of_one_byte_a_letter_is_named_with_its_line_and_the_remedy(encoding: str) -> None:
    [problem] = refusal(table().encode(encoding))
    assert "in line 2); it is not UTF-8, perhaps Windows-1252: save it as 'CSV UTF-8'" in problem
    [problem] = refusal(json.dumps(dict(zip(NAMES, ROW, strict=True)), ensure_ascii=False).encode(encoding), "a.jsonl")
    assert "it is not UTF-8" in problem


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
@pytest.mark.parametrize("number", ["0", "17", "3.0"])
def test_row_numbers_that_pandas_wrote_along_are_left_out(name: str, number: str) -> None:
    assert read(table(names=[name, *NAMES], row=[number, *ROW]).encode()) == [TRACK]


def test_columns_that_excel_left_empty_are_left_out_and_other_nameless_ones_are_refused() -> None:
    assert read(table(names=[*NAMES, "", ""], row=[*ROW, "", ""]).encode()) == [TRACK]
    assert refusal(table(names=[*NAMES, ""], row=[*ROW, "x"]).encode())[0].startswith("column  is not known")
    assert refusal(table(names=["", *NAMES], row=["x", *ROW]).encode())[0].startswith("column  is not known")


@pytest.mark.parametrize("before", ["\n", "\r\n \r\n", "\ufeff\n\n"])
def test_blank_lines_before_the_header_and_rows_of_separators_alone_say_nothing(before: str) -> None:
    text = table().rstrip("\n")
    assert read(f"{before}{text}\n,,,,,\n, ,,, ,\n".encode()) == [TRACK]
    [problem] = refusal(f'{before}{text}\n,,,,,\nv,é/v.mp4,p,-1,box,"[1, 2, 3, 4]"\n'.encode())
    assert problem.startswith("row 3: frame_index is '-1'")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04\x14\xff", "no text, but a workbook of Excel or a ZIP archive; save it as 'CSV UTF-8'"),
        (b"PAR1\x15\xff", "no text, but Parquet; let its name end in .parquet"),
        (b"\x1f\x8b\x08\x00", "no text, but packed by gzip; unpack it"),
    ],
)
def test_a_file_of_another_format_under_the_name_of_a_text_is_told_what_it_is(data: bytes, what: str) -> None:
    for name in ("a.csv", "a.jsonl"):
        [problem] = refusal(data, name)
        assert what in problem


def test_names_of_columns_are_guessed_from_those_that_are_missing_and_whatever_their_capitals() -> None:
    problems = refusal(table(names=["Video_ID", *NAMES[1:3], "frame", *NAMES[4:]]).encode())
    assert "column Video_ID is not known; did you mean video_id?" in problems
    assert "column frame is not known; did you mean frame_index?" in problems


def test_a_list_as_python_prints_it_is_told_to_be_written_as_json() -> None:
    [problem] = refusal(table(row=[ROW[0], "['a.mp4', 'b.mp4']", *ROW[2:]]).encode())
    assert "video_uri is \"['a.mp4', 'b.mp4']\": it is a list as Python prints it; write it as JSON" in problem


def test_a_uri_with_a_line_end_is_not_taken_for_two_files() -> None:
    for uri in ("v.mp4\n", ["a.mp4", " "]):
        row = dict(zip(NAMES, ROW, strict=True)) | {"video_uri": uri, "frame_index": 0, "box_xyxy": [1, 2, 3, 4]}
        [problem] = refusal(json.dumps(row).encode(), "a.jsonl")
        assert problem.endswith(("one of its lines is blank; remove the line end", "it should not be blank"))


def test_an_index_column_in_parquet_is_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame([[0, *ROW]], columns=["Unnamed: 0", *NAMES])
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    assert read_prompts(str(tmp_path / "a.parquet")) == [TRACK]


def test_blanks_around_cells_and_names_of_a_csv_file_say_nothing_but_in_ids() -> None:
    row = [" v", "  é/v.mp4 ", "o", " 0", "box ", "\t[1, 2, 30, 40.5]"]
    [track] = read(table(";", [f" {name} " for name in NAMES], row).encode())
    assert track.video == Video(" v", "é/v.mp4")
    assert track.prompts == TRACK.prompts


def test_csv_refuses_to_keep_a_uri_with_blanks_around_it_and_parquet_keeps_it() -> None:
    tracks = [Track(video=Video("v", "v.mp4 "), object_id="o", prompts=TRACK.prompts)]
    with pytest.raises(PromptsError, match="CSV does not keep the blanks around it"):
        write_prompts("memory://others/blank.csv", tracks)
    for ending in ("parquet", "jsonl"):
        write_prompts(f"memory://others/blank.{ending}", tracks)
        assert read_prompts(f"memory://others/blank.{ending}") == tracks


def test_decimals_are_numbers(tmp_path: Path) -> None:
    kind = pa.list_(pa.decimal128(9, 2))
    columns = {name: [value] for name, value in zip(NAMES, ROW, strict=True)}
    boxes = pa.array([[Decimal("1.00"), Decimal("2.00"), Decimal("30.00"), Decimal("40.50")]], kind)
    frames = pa.array([Decimal(0)], pa.decimal128(10, 0))
    pq.write_table(pa.table({**columns, "box_xyxy": boxes, "frame_index": frames}), tmp_path / "a.parquet")
    assert read_prompts(str(tmp_path / "a.parquet")) == [TRACK]
    pq.write_table(
        pa.table({**columns, "box_xyxy": boxes, "frame_index": pa.array([Decimal("0.5")], pa.decimal128(9, 1))}),
        tmp_path / "b.parquet",
    )
    with pytest.raises(PromptsError, match="it should be a whole number"):
        read_prompts(str(tmp_path / "b.parquet"))


def test_decimals_with_commas_are_told_to_take_points() -> None:
    [problem] = refusal(table(";", row=[*ROW[:5], "[1,5, 2,5, 30,5, 40,5]"]).encode())
    assert "write decimals with a point, not a comma" in problem


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_folder_of_part_files_is_one_table(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / f"prompts.{ending}"
    folder.mkdir()
    more = [Track(video=TRACK.video, object_id=str(number), prompts=TRACK.prompts) for number in range(3)]
    for number, track in enumerate(more):
        write_prompts(str(folder / f"part-{number:05}.{ending}"), [track])
    for name in ("_SUCCESS", f".part-00000.{ending}.crc", f"._part.{ending}", "notes.md"):
        (folder / name).write_bytes(b"no table")
    assert read_prompts(str(folder)) == more
    assert read_prompts(str(folder.rename(tmp_path / "prompts")) + "/") == more


def test_rows_of_a_folder_count_on_through_its_files(tmp_path: Path) -> None:
    good = table().encode()
    (tmp_path / "a.csv").write_bytes(good + b"v,v.mp4\n")
    (tmp_path / "b.csv").write_bytes(table(row=[*ROW[:3], "-1", *ROW[4:]]).encode())
    with pytest.raises(PromptsError) as caught:
        read_prompts(str(tmp_path))
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["row 2", "row 3"]


def test_a_folder_without_tables_or_with_folders_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(PromptsError, match=r"it is a folder, and it contains no table; give a folder of \.parquet"):
        read_prompts(str(tmp_path))
    (tmp_path / "day=1").mkdir()
    (tmp_path / "a.csv").write_bytes(table().encode())
    with pytest.raises(PromptsError, match="it is a folder, and it contains the folder day=1"):
        read_prompts(str(tmp_path))


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_read_as_lines_are(indent: int | None) -> None:
    rows = [dict(zip(NAMES, ROW, strict=True)), {**dict(zip(NAMES, ROW, strict=True)), "object_id": "p"}]
    assert [track.object_id for track in read(json.dumps(rows, indent=indent).encode(), "a.jsonl")] == ["o", "p"]
    assert refusal(json.dumps([*rows, 7]).encode(), "a.jsonl") == [
        "row 3: it is not a JSON object; write {...} on one line"
    ]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("a.xlsx", "in Excel, save it as 'CSV UTF-8'"),
        ("a.csv.gz", "unpack it first"),
        ("a.parquet.zst", "unpack it first"),
        ("a.json", "write one object a line, or a list of them, as .jsonl"),
    ],
)
def test_a_format_that_is_not_read_is_named_with_the_remedy(name: str, remedy: str) -> None:
    [problem] = refusal(b"", name)
    assert problem.endswith(remedy)


@pytest.mark.parametrize("box", [[0.1, 0.3, 0.5, 0.7], [0, 0, 1, 1], [-0.1, 0.2, 0.5, 0.9], "[0.1, 0.3, 0.5, 0.7]"])
def test_a_box_in_units_of_0_to_1_is_refused(box: object) -> None:
    [problem] = refusal(json.dumps({**dict(zip(NAMES, ROW, strict=True)), "box_xyxy": box}).encode(), "a.jsonl")
    assert problem.endswith("in pixels of the original video")


@pytest.mark.parametrize("box", [(-100, -3, 1, 1), (0, 0, 1.5, 1), (5, 5, 5.5, 5.5)])
def test_a_small_box_that_can_be_meant_in_pixels_is_read(box: Box) -> None:
    row = {**dict(zip(NAMES, ROW, strict=True)), "box_xyxy": box}
    assert read(json.dumps(row).encode(), "a.jsonl")[0].prompts == (BoxPrompt(0, box),)


def test_clicks_in_units_of_0_to_1_are_refused_and_those_on_the_corner_are_not() -> None:
    def row(points: list[list[float]]) -> bytes:
        values = {**dict(zip(NAMES, ROW, strict=True)), "kind": "points", "labels": [1] * len(points)}
        return json.dumps({**values, "box_xyxy": None, "points_xy": points}).encode()

    assert refusal(row([[0.2, 0.4], [1, 0]]), "a.jsonl")[0].endswith("in pixels of the original video")
    for points in ([[0.0, 0.0]], [[1.0, 0.0], [1.0, 1.0]], [[0.2, 0.4], [7.5, 0.0]]):
        [track] = read(row(points), "a.jsonl")
        assert isinstance(track.prompts[0], PointsPrompt)


def test_an_id_that_holds_a_password_or_a_signature_is_refused() -> None:
    for secret in ("https://u:hunter2@h/a.mp4", "https://h/a.mp4?X-Amz-Signature=hunter2"):
        for name, place in (("video_id", 0), ("object_id", 2)):
            row = [secret if index == place else cell for index, cell in enumerate(ROW)]
            [problem] = refusal(table(row=row).encode())
            assert problem.startswith(f"row 1: {name} is ")
            assert "hunter2" not in problem
