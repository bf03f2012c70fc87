import json
from pathlib import Path

import pytest

from samurai_batch.errors import ConfigError, PromptsError
from samurai_batch.operations.sources import read_source
from samurai_batch.storage import is_pattern


def write_table(path: Path, *rows: dict[str, object]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"frame_index": 0, "kind": "box", "box_xyxy": [1, 1, 9, 9], **row}) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def row(video_uri: object, video_id: str, object_id: str = "one", **more: object) -> dict[str, object]:
    return {"video_uri": str(video_uri), "video_id": video_id, "object_id": object_id, **more}


def test_a_pattern_stands_for_the_videos_that_match_now(tmp_path: Path) -> None:
    table = write_table(tmp_path / "prompts.jsonl", row(tmp_path / "in" / "*.mp4", "gate-*"))
    assert read_source(table) == []
    (tmp_path / "in").mkdir()
    for name in ("b.mp4", "a.mp4", "notes.txt", ".hidden.mp4"):
        (tmp_path / "in" / name).touch()
    tracks = read_source(table)
    assert [track.track_id for track in tracks] == [("gate-a", "one"), ("gate-b", "one")]
    assert [track.video.uri for track in tracks] == [str(tmp_path / "in" / name) for name in ("a.mp4", "b.mp4")]


def test_a_row_of_a_videos_own_goes_before_a_pattern(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    own = row(tmp_path / "a.mp4", "a", frame_index=7)
    table = write_table(tmp_path / "prompts.jsonl", row(tmp_path / "*.mp4", "*"), own)
    frames = {track.video.video_id: track.prompts[0].frame_index for track in read_source(table)}
    assert frames == {"a": 7, "b": 0}


def test_a_pattern_of_tables_reads_every_one(tmp_path: Path) -> None:
    for name in "ab":
        write_table(tmp_path / "in" / f"{name}.jsonl", row(f"{name}.mp4", name))
    tracks = read_source(str(tmp_path / "in" / "*.jsonl"))
    assert [track.video.video_id for track in tracks] == ["a", "b"]


def test_an_object_in_two_tables_is_refused_with_the_tables_name(tmp_path: Path) -> None:
    for name in "ab":
        write_table(tmp_path / "in" / f"{name}.jsonl", row("a.mp4", "a"))
    with pytest.raises(PromptsError, match=r"b\.jsonl.*\n.*object one of video a is in another table"):
        read_source(str(tmp_path / "in" / "*.jsonl"))


def test_a_pattern_with_one_video_id_is_one_video_of_all_files_in_natural_order(tmp_path: Path) -> None:
    table = write_table(tmp_path / "prompts.jsonl", row(tmp_path / "*.mp4", "gate"))
    assert read_source(table)[0].video.uri == str(tmp_path / "*.mp4"), "there is no such file yet"
    for name in ("cam_10.mp4", "cam_9.mp4", "cam_9.txt"):
        (tmp_path / name).touch()
    assert read_source(table)[0].video.uri.split("\n") == [str(tmp_path / "cam_9.mp4"), str(tmp_path / "cam_10.mp4")]


def test_a_pattern_in_a_folders_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in the last part alone"):
        read_source(str(tmp_path / "*" / "prompts.csv"))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("in/*.mp4", True), ("in/?.mp4", True), ("in/a.mp4", False), ("https://host/a.mp4?token=*", False)],
)
def test_a_query_is_no_pattern(uri: str, expected: bool) -> None:
    assert is_pattern(uri) == expected
