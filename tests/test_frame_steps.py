"""Tracks on every n-th frame, and the rows between."""

from dataclasses import replace

import pytest

from samurai_batch.frame_sampling import FrameSampling
from samurai_batch.pipeline import track_video
from tests.small_video import NUM_FRAMES, PIXELS, TRACKS, box, source, timestamp_of, tracker


@pytest.mark.parametrize("chunk_frames", [6, 9, 12, 100])
def test_every_third_frame_and_the_prompted_ones_are_tracked_whatever_the_chunks(chunk_frames: int) -> None:
    sampling = FrameSampling(every=3)
    both = replace(TRACKS[0], sampling=sampling, direction="both", prompts=(box(4), box(10)))
    tables = track_video(tracker(), video := source(), [both], chunk_frames=chunk_frames)
    frames = [0, 3, 4, 6, 9, 10, 12]
    assert tables[both.object_id]["frame_index"].to_pylist() == frames
    assert tables[both.object_id]["timestamp_s"].to_pylist() == [timestamp_of(index) for index in frames]
    assert tables[both.object_id]["prompted"].to_pylist() == [index in (4, 10) for index in frames]
    whole = track_video(tracker(), source(), [both], chunk_frames=NUM_FRAMES)
    assert tables[both.object_id].equals(whole[both.object_id])
    assert video.requested


def test_frames_between_steps_are_not_read_and_steps_equal_a_video_of_these_frames_alone() -> None:
    track = replace(TRACKS[0], prompts=(box(0),), start_frame=None, end_frame=None, direction="forward")
    sampled = replace(track, sampling=FrameSampling(every=3))
    tables = track_video(tracker(), video := source(), [sampled], chunk_frames=6)
    assert [list(indices) for indices in video.requested] == [[0, 3], [6, 9], [12]]
    thinned = track_video(tracker(), source(PIXELS[::3]), [track], chunk_frames=100)
    names = ["segmentation", "mask_score", "object_score", "motion_score", "mask_index"]
    assert tables[track.object_id].select(names).equals(thinned[track.object_id].select(names))


def test_interpolated_boxes_fill_the_frames_between_with_the_videos_own_times() -> None:
    sampling = FrameSampling(every=4, interpolates=True)
    track = replace(TRACKS[0], prompts=(box(0),), start_frame=None, end_frame=None, sampling=sampling)
    rows = track_video(tracker(), source(), [track])[track.object_id].to_pandas()
    frames = range(13)  # up to the last step
    assert rows["frame_index"].tolist() == list(frames)
    assert rows["interpolated"].tolist() == [index % 4 != 0 for index in frames]
    assert rows["timestamp_s"].tolist() == [timestamp_of(index) for index in frames]
    assert rows["segmentation"].isna().tolist() == (rows["interpolated"] | (rows["area"] == 0)).tolist()
