"""The example of `samurai-batch demo`: track two objects through a generated video on Ray, and score the masks.

SAM 2's rules track the same objects for comparison. Nothing is downloaded: the video is generated from a seed, and the
model is part of the package.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from samurai_batch.geometry import mask_box_xyxy
from samurai_batch.job import make_job
from samurai_batch.manifest import write_prompts
from samurai_batch.masks.reading import read_masks
from samurai_batch.one_video import track
from samurai_batch.prompts import Box, BoxPrompt
from samurai_batch.rendering.annotate import Annotation, annotate
from samurai_batch.rendering.output import contact_sheet, spread, write_mp4
from samurai_batch.rle import decode_mask, rle_from_coco
from samurai_batch.runtime.progress import open_progress
from samurai_batch.runtime.run import run_job
from samurai_batch.synthetic.clip import Clip
from samurai_batch.synthetic.suites import demo_clip
from samurai_batch.tasks import Track, Video

FRAMES_PER_SECOND = 12
OBJECT_IDS = ("first", "second")  # the two look-alikes: things 0 and 1 of the clip
SHOWN_COLUMNS = ["object_id", "frame_index", "timestamp_s", "area", "mask_score", "object_score", "motion_score"]


def run_demo(folder: Path, replicas: int, out: Console) -> None:
    """Write the example to ``folder``, run it, and print its tables, rows, IoU and picture."""
    clip = demo_clip()
    video = Video("crossing", str(folder / "videos" / "crossing.mp4"))
    write_prompts(str(folder / "prompts.csv"), _tracks(clip, video))
    Path(video.uri).parent.mkdir(parents=True, exist_ok=True)
    write_mp4(Path(video.uri), ((index / FRAMES_PER_SECOND, frame) for index, frame in enumerate(clip.frames)))
    config = make_job(
        {"prompts": str(folder / "prompts.csv"), "output": str(folder / "out"), "model": "nano", "replicas": replicas}
    )
    run_job(config, progress=open_progress(Console(stderr=True)))

    table = read_masks(str(folder / "out"))
    by_sam2 = track(video.uri, boxes=_boxes_xyxy(clip), mode="sam2")
    out.print(f"\nmask tables: {folder / 'out' / 'masks'}\n")
    out.print(table[SHOWN_COLUMNS].groupby("object_id").head(3).to_string(index=False), "\n")
    other = mean_ious(by_sam2, clip)
    for object_id, iou in mean_ious(table, clip).items():
        out.print(f"mean IoU of {object_id} with the ground truth: {iou:.2f}, by SAM 2's rules {other[object_id]:.2f}")
    picture = folder / "overlay.png"
    _contact_sheet({"SAMURAI": table, "SAM 2": by_sam2}, clip).save(picture)
    out.print(f"picture: {picture}")


def mean_ious(table: pd.DataFrame, clip: Clip) -> dict[str, float]:
    """The mean IoU of each object with the ground truth, over the frames after the prompt in which it is visible."""
    ious = {}
    for number, object_id in enumerate(OBJECT_IDS):
        rows = table[table.object_id == object_id].sort_values("frame_index")
        pairs = [
            (_mask_of(row, clip), truth)
            for row, truth in zip(rows.segmentation, clip.masks[:, number], strict=True)
            if truth.any()
        ]
        ious[object_id] = float(np.mean([(found & truth).sum() / (found | truth).sum() for found, truth in pairs[1:]]))
    return ious


def _tracks(clip: Clip, video: Video) -> list[Track]:
    boxes = _boxes_xyxy(clip).items()
    return [Track(video=video, object_id=object_id, prompts=(BoxPrompt(0, box),)) for object_id, box in boxes]


def _boxes_xyxy(clip: Clip) -> dict[str, Box]:
    boxes = {}
    for number, object_id in enumerate(OBJECT_IDS):
        box_xyxy = mask_box_xyxy(clip.masks[0, number])
        assert box_xyxy is not None, "every object of the demo is visible on the first frame"
        boxes[object_id] = box_xyxy
    return boxes


def _mask_of(segmentation: dict[str, object] | None, clip: Clip) -> NDArray[np.bool_]:
    if segmentation is None:
        return np.zeros(clip.frames.shape[1:3], bool)
    return decode_mask(rle_from_coco(segmentation))


def _contact_sheet(tables: dict[str, pd.DataFrame], clip: Clip) -> Image.Image:
    """Six frames of the clip with both masks drawn on them: a line of pictures for each table, by its name."""
    tiles = []
    shown = spread(range(len(clip.frames)), 6)
    for name, table in tables.items():
        for index in shown:
            rows = table[table.frame_index == index].sort_values("object_id")
            masks = [Annotation(number, "", _mask_of(value, clip)) for number, value in enumerate(rows.segmentation)]
            tiles.append((f"{name}, frame {index}", annotate(clip.frames[index], masks)))
    return contact_sheet(tiles, columns=len(shown), tile_width_px=220)
