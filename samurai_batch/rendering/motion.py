"""The Kalman filter's predictions, replayed from a track's rows.

A mask table keeps how well each mask met its prediction, not the prediction. The filter sees the boxes of chosen masks
alone, so their rows give it back, up to the rounding between the model's image and the video's.
"""

from collections.abc import Mapping

import pandas as pd

from samurai_batch.tasks import Box
from samurai_batch.tracking.kalman import Form, KalmanState, box_of, initiate, predict, update

STABLE_IOUS_THRESHOLD = 0.3  # of tracking.settings, by default
MODEL_SIZE_PX = 1024  # the filter minds the square shape of the model's image, its scale hardly

_BOX_COLUMNS = ["bbox_x", "bbox_y", "bbox_w", "bbox_h"]


def predicted_boxes(rows: pd.DataFrame, form: Form = "xyah", model_size_px: int = MODEL_SIZE_PX) -> Mapping[int, Box]:
    """Where the motion model expected the object: ``box_xyxy`` in pixels of the video, by frame index.

    ``rows`` are one track's, forward in time. Only frames that carry a motion score have a prediction, as only there
    one took part in the choice of the mask.
    """
    if rows.empty:
        return {}
    scale_x = model_size_px / float(rows["width"].iloc[0])
    scale_y = model_size_px / float(rows["height"].iloc[0])
    state: KalmanState | None = None
    predictions: dict[int, Box] = {}
    for row in rows.sort_values("frame_index").to_dict("records"):
        if row["prompted"]:
            continue
        box = _model_box(row, scale_x, scale_y)
        if state is None:
            state = initiate(box, form)
            continue
        state = predict(state, form)
        if pd.notna(row["motion_score"]):
            x0, y0, x1, y1 = box_of(state, form)
            predictions[int(row["frame_index"])] = x0 / scale_x, y0 / scale_y, x1 / scale_x, y1 / scale_y
        state = update(state, box, form) if row["mask_score"] > STABLE_IOUS_THRESHOLD else None
    return predictions


def _model_box(row: Mapping[object, float], scale_x: float, scale_y: float) -> Box:
    """The tight box of the mask in the model's image, (0, 0, 0, 0) for an empty one, as the tracker measures it."""
    if pd.isna(row["bbox_x"]):
        return 0.0, 0.0, 0.0, 0.0
    x, y, width, height = (float(row[name]) for name in _BOX_COLUMNS)
    return x * scale_x, y * scale_y, (x + width) * scale_x - 1, (y + height) * scale_y - 1
