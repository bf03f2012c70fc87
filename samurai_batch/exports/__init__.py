"""``samurai-batch export``: mask tables in the formats of other tools, and in Python for supervision.

A format is a function from the rows of videos to files; README.md says what each file holds.

    video_masks.py      the rows of one video, as every format takes them
    json_formats.py     COCO, YouTube-VIS, SA-V
    png_formats.py      DAVIS, PNG
    text_formats.py     MOT, MOTS, GOT-10k, TrackingNet
    yolo.py             YOLO
    cvat.py             CVAT
    label_studio.py     Label Studio; brush_rle.py: its run lengths
    hugging_face.py     Hugging Face datasets
    fiftyone.py         FiftyOne
    cutouts.py          video with alpha
    supervision.py      `to_supervision`: the rows of a frame as detections
    pictures.py         pictures of frames
    outlines.py         masks as polygons
"""

from collections.abc import Callable, Collection, Iterable

from samurai_batch import storage
from samurai_batch.counting import counted
from samurai_batch.errors import ConfigError
from samurai_batch.exports import (
    cutouts,
    cvat,
    fiftyone,
    hugging_face,
    json_formats,
    label_studio,
    png_formats,
    text_formats,
    yolo,
)
from samurai_batch.exports.supervision import to_supervision
from samurai_batch.exports.video_masks import Files, VideoMasks
from samurai_batch.masks import MASK_SCHEMA, read_masks

__all__ = ["FORMATS", "export_masks", "to_supervision"]

FORMATS: dict[str, Callable[[Iterable[VideoMasks]], Files]] = {
    "coco": json_formats.coco,
    "youtube-vis": json_formats.youtube_vis,
    "sav": json_formats.sav,
    "davis": png_formats.davis,
    "png": png_formats.per_object_png,
    "mot": text_formats.mot,
    "mots": text_formats.mots,
    "got10k": text_formats.got10k,
    "trackingnet": text_formats.trackingnet,
    "cvat": cvat.cvat_boxes,
    "cvat-polygon": cvat.cvat_polygons,
    "cvat-mask": cvat.cvat_masks,
    "cvat-images": cvat.cvat_images,
    "label-studio": label_studio.label_studio,
    "label-studio-brush": label_studio.label_studio_brush,
    "yolo-seg": yolo.yolo_seg,
    "yolo-track": yolo.yolo_track,
    "huggingface": hugging_face.hugging_face,
    "fiftyone": fiftyone.fiftyone,
    "prores4444": cutouts.prores4444,
    "vp9-alpha": cutouts.vp9_alpha,
}

Place = tuple[str, str, int]
"""A video_id, an object_id and a frame index."""


def export_masks(
    masks_uri: str,
    output: str,
    format: str,  # noqa: A002
    videos: Iterable[str] | None = None,
    objects: Iterable[str] | None = None,
    *,
    places: Collection[Place] | None = None,
    video_uri: Callable[[str], str] = lambda video_id: "",
) -> int:
    """Write the masks of an output folder, or of some of its videos and objects, to ``output``.

    ``format`` is one of FORMATS. Frames keep their index in the video. ``places`` selects single rows. ``video_uri``
    gives the URI of a video by its id, for formats that name the video or have its pictures; "" if it is not known.
    Returns the number of files. Raises ConfigError if the format is unknown or there are no rows, VideoError if
    pictures are needed and a video cannot be read.
    """
    if format not in FORMATS:
        raise ConfigError(f"format {format!r} is not known; use one of {', '.join(FORMATS)}")
    chosen = None if objects is None else list(objects)
    ids = read_masks(masks_uri, videos, chosen, columns=["video_id"])["video_id"].unique().tolist()
    if places is not None:
        ids = sorted(set(ids) & {video_id for video_id, _, _ in places})
    if not ids:
        remedy = "run the job first" if videos is None and objects is None else "check the ids of videos and objects"
        raise ConfigError(f"{storage.redact_uri(masks_uri)}: there are no mask rows to export; {remedy}")
    in_order = counted(sorted(ids), "videos exported")
    rows = (_rows(masks_uri, video_id, chosen, places, video_uri(video_id)) for video_id in in_order)
    num_files = 0
    for name, data in FORMATS[format](rows):
        storage.write_bytes(storage.join(output, name), data)
        num_files += 1
    return num_files


def _rows(
    masks_uri: str, video_id: str, objects: list[str] | None, places: Collection[Place] | None, uri: str
) -> VideoMasks:
    rows = read_masks(masks_uri, [video_id], objects, columns=MASK_SCHEMA.names)
    masks = VideoMasks.of_rows(video_id, rows, uri)
    if places is None:
        return masks
    return masks.at({(object_id, frame) for of_video, object_id, frame in places if of_video == video_id})
