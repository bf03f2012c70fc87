"""The replayed predictions against the tracker that made them."""

from collections.abc import Iterator

import numpy as np
import pytest

from samurai_batch.geometry import box_iou
from samurai_batch.pipeline import track_video
from samurai_batch.rendering.motion import predicted_boxes
from samurai_batch.tasks import BoxPrompt, Track, Video
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.tracker import Tracker
from samurai_batch.video import Frame, VideoInfo
from tests.deterministic import deterministic_frames, small_model

SIZE, NUM_FRAMES = 64, 24
PIXELS = deterministic_frames(NUM_FRAMES, SIZE)


class Source:
    """Frames of the model's own size, so that nothing is lost between its masks and the rows'."""

    info = VideoInfo(NUM_FRAMES, SIZE, SIZE)

    def frames(self, indices: range) -> Iterator[Frame]:
        for index in indices:
            yield Frame(index, index / 25, np.ascontiguousarray(PIXELS[index]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_replayed_prediction_meets_the_mask_as_well_as_the_tracker_says(seed: int) -> None:
    tracker = Tracker(small_model(seed, iou_offset=1.0), TrackerSettings(stable_frames_threshold=3))
    track = Track(video=Video("v", "v.mp4"), object_id="1", prompts=(BoxPrompt(0, (12.0, 10.0, 40.0, 30.0)),))
    rows = track_video(tracker, Source(), [track])["1"].to_pandas()
    predictions = predicted_boxes(rows, model_size_px=SIZE)
    scored = rows[rows["motion_score"].notna()]
    assert sorted(predictions) == scored["frame_index"].tolist()
    assert len(scored) > 5
    for row in scored[scored["area"] > 0].itertuples():
        x, y, width, height = (float(side) for side in (row.bbox_x, row.bbox_y, row.bbox_w, row.bbox_h))
        overlap = box_iou(predictions[int(row.frame_index)], (x, y, x + width - 1, y + height - 1))
        assert row.motion_score == pytest.approx(overlap, abs=1e-5)
