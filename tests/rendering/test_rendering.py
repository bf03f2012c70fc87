from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.masks import MaskRow, encode_mask, mask_table_uri, rows_to_table, table_to_bytes
from samurai_batch.masks.interpolation import with_interpolated_boxes
from samurai_batch.rendering import render
from samurai_batch.rendering.annotate import Annotation, RenderedTracks, annotate
from samurai_batch.rendering.output import spread, write_mp4

HEIGHT, WIDTH, NUM_FRAMES = 91, 121, 30


def mask_on(index: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    if index != 25:
        mask[30:60, 5 + 3 * index : 25 + 3 * index] = True
    return mask


def rows() -> list[MaskRow]:
    return [
        MaskRow(
            video_id="v",
            object_id="cup",
            frame_index=index,
            timestamp_s=index / 10,
            height=HEIGHT,
            width=WIDTH,
            segmentation=encode_mask(mask_on(index)),
            mask_score=0.9,
            object_score=4.0 if mask_on(index).any() else -4.0,
            motion_score=0.8 if index > 15 else None,
            mask_index=0,
            prompted=index == 0,
        )
        for index in range(NUM_FRAMES)
    ]


@pytest.fixture
def run(tmp_path: Path) -> str:
    output = str(tmp_path / "run")
    storage.write_bytes(mask_table_uri(output, "v", "cup"), table_to_bytes(rows_to_table(rows()), {}))
    return output


@pytest.fixture
def video(tmp_path: Path) -> str:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(NUM_FRAMES):
        Image.new("RGB", (WIDTH, HEIGHT), (40, 60, 80)).save(folder / f"{index:03d}.png")
    return str(folder)


def test_an_mp4_has_every_frame_in_h264_with_even_sides_and_its_own_times(run: str, video: str, tmp_path: Path) -> None:
    assert render(run, "v", video, str(tmp_path / "out.mp4")) == NUM_FRAMES
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playable before it has all arrived
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (WIDTH + 1, HEIGHT + 1)
        times = [frame.time for frame in container.decode(stream)]
    assert times == pytest.approx([index / 25 for index in range(NUM_FRAMES)], abs=1e-4)


def test_a_contact_sheet_shows_tinted_objects(run: str, video: str, tmp_path: Path) -> None:
    assert render(run, "v", video, str(tmp_path / "sheet.png"), num_tiles=6) == 6
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.array(sheet)
    tinted = np.abs(pixels.astype(int) - [126, 105, 44]).max(axis=2) < 12  # 55 % of the frame, 45 % orange
    assert tinted.sum() > 5000


def test_frames_may_be_chosen_and_must_be_in_the_video(run: str, video: str, tmp_path: Path) -> None:
    assert render(run, "v", video, str(tmp_path / "part.mp4"), frames=range(5, 99)) == NUM_FRAMES - 5
    with pytest.raises(ConfigError, match="frames 40 to 49 are not in the video"):
        render(run, "v", video, str(tmp_path / "part.mp4"), frames=range(40, 50))


def test_what_cannot_be_drawn_is_said_in_a_sentence(run: str, video: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends neither in \.mp4 nor in \.png"):
        render(run, "v", video, str(tmp_path / "out.gif"))
    with pytest.raises(ConfigError, match="num_tiles is 0"):
        render(run, "v", video, str(tmp_path / "out.png"), num_tiles=0)
    for frames in (range(5, 5), range(9, 5, -1), range(0, 9, 2)):
        with pytest.raises(ConfigError, match=r"frames is range\(\d, \d(, -?\d)?\): it should be a range"):
            render(run, "v", video, str(tmp_path / "out.mp4"), frames=frames)
    with pytest.raises(ConfigError, match="w: no finished track to draw"):
        render(run, "w", video, str(tmp_path / "out.mp4"))


@pytest.mark.parametrize("name", ["clip.mp4", "./clip.mp4", "link.mp4"])
def test_the_video_itself_is_never_replaced(
    name: str, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"a video")
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"output '{name}' is the video itself, which would be replaced"):
        render(run, "v", storage.as_one(["clip.mp4", "other.mp4"]), name)
    assert (tmp_path / "clip.mp4").read_bytes() == b"a video"


def test_nothing_is_drawn_on_the_frame_that_was_given() -> None:
    frame = np.zeros((60, 80, 3), np.uint8)
    drawn = annotate(frame, [Annotation(0, "1", np.eye(60, 80, dtype=np.bool_), (5, 5, 40, 40), (10, 10, 50, 50))])
    assert not frame.any()
    assert drawn.any()
    np.testing.assert_array_equal(annotate(frame, []), frame)


def test_an_annotation_without_a_label_tints_and_outlines_its_mask_and_changes_nothing_else() -> None:
    frame, mask = np.full((60, 80, 3), 100, np.uint8), np.zeros((60, 80), np.bool_)
    mask[20:40, 30:50] = True
    drawn = annotate(frame, [Annotation(0, "", mask)])
    assert (drawn[~mask] == 100).all()
    assert drawn[30, 40].tolist() == [158, 127, 55]  # 55 % of the frame, 45 % orange
    assert (drawn[20, 30:50] == 255).all()


def test_an_object_at_the_border_and_an_absent_one_are_labelled_inside_the_picture() -> None:
    frame = np.zeros((60, 80, 3), np.uint8)
    corner = Annotation(1, "a long label", np.zeros((60, 80), np.bool_), (70, 0, 80, 10))
    absent = [Annotation(number, f"{number} absent", None) for number in range(3)]
    drawn = annotate(frame, [corner, *absent])
    assert drawn.shape == frame.shape
    assert (drawn[:, :40] > 150).any()


def test_what_the_motion_model_expected_is_drawn_where_the_table_has_it() -> None:
    predicted = [replace(row, predicted_xywh=(10.0, 20.0, 30.0, 40.0)) if row.motion_score else row for row in rows()]
    tracks = RenderedTracks(rows_to_table(predicted).to_pandas())
    for index in range(NUM_FRAMES):
        (annotation,) = tracks.on(index)
        assert annotation.predicted_xyxy == ((10.0, 20.0, 40.0, 60.0) if index > 15 else None)


def test_of_tables_without_predictions_none_are_drawn() -> None:
    tracks = RenderedTracks(rows_to_table(rows()).to_pandas())
    assert all(one.predicted_xyxy is None for index in range(NUM_FRAMES) for one in tracks.on(index))


def test_a_prediction_is_dashed_along_the_pixels_it_covers() -> None:
    frame = np.zeros((60, 80, 3), np.uint8)
    drawn = annotate(frame, [Annotation(0, "", None, predicted_xyxy=(20.0, 15.0, 61.0, 46.0))])
    ys, xs = np.nonzero(drawn.all(axis=2) & (drawn == 255).all(axis=2))
    assert 19 <= xs.min() <= 20 <= 60 <= xs.max() <= 61
    assert 14 <= ys.min() <= 15 <= 45 <= ys.max() <= 46


def test_of_sampled_tracks_only_tracked_frames_are_shown_and_a_gap_between_tracks_is_shown_whole() -> None:
    sampled = [row for row in rows() if row.frame_index % 4 == 0 and not 8 < row.frame_index < 24]
    tracks = RenderedTracks(rows_to_table(sampled).to_pandas())
    assert tracks.tracked_frames(tracks.frames) == [0, 4, 8, 24, 28]
    assert tracks.tracked_frames(range(3, 25)) == [4, 8, 24]
    assert tracks.moving_frames(tracks.frames) == [0, 4, 8, *range(9, 25), 28]
    assert tracks.moving_frames(range(2, 10)) == [4, 8, 9]
    (alone,) = RenderedTracks(rows_to_table(sampled[:1]).to_pandas()).moving_frames(range(1))
    assert alone == 0


def test_a_video_of_sampled_tracks_has_their_frames_at_their_times(video: str, tmp_path: Path) -> None:
    sampled = table_to_bytes(rows_to_table([row for row in rows() if row.frame_index % 5 == 0]), {})
    storage.write_bytes(mask_table_uri(str(tmp_path / "sampled"), "v", "cup"), sampled)
    assert render(str(tmp_path / "sampled"), "v", video, str(tmp_path / "out.mp4")) == 6
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([index / 25 for index in range(0, 26, 5)], abs=1e-4)


def test_an_interpolated_row_is_labelled_so_and_is_no_tile() -> None:
    table = rows_to_table([row for row in rows() if row.frame_index in (0, 4)])
    between = with_interpolated_boxes(table, lambda index: index / 10, ())
    tracks = RenderedTracks(between.to_pandas())
    assert [one.label for one in tracks.on(2)] == ["cup interpolated"]
    assert [one.label for one in tracks.on(4)] == ["cup mask 0.90"]
    assert tracks.tracked_frames(tracks.frames) == [0, 4]
    assert tracks.moving_frames(tracks.frames) == [0, 1, 2, 3, 4]


def test_uneven_times_stay_uneven_and_never_go_back(tmp_path: Path) -> None:
    times = [1.0, 1.5, 1.5, 2.25]
    assert write_mp4(tmp_path / "x.mp4", ((time, np.full((32, 32, 3), 90, np.uint8)) for time in times)) == 4
    with av.open(str(tmp_path / "x.mp4")) as container:
        shown = [frame.time for frame in container.decode(video=0)]
    assert shown == pytest.approx([0, 0.5, 0.5, 1.25], abs=1e-3)


def test_tiles_are_spread_from_the_first_to_the_last_frame() -> None:
    assert spread(range(10, 111), 5) == [10, 35, 60, 85, 110]
    assert spread(range(3), 5) == [0, 1, 2]
