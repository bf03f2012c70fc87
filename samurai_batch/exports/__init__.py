"""``samurai-batch export``: mask tables in the formats of other tools."""

from collections.abc import Callable, Iterable, Iterator

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.exports import json_formats, png_formats, text_formats
from samurai_batch.exports.video_masks import VideoMasks
from samurai_batch.masks import read_masks

__all__ = ["FORMATS", "export_masks"]

FORMATS: dict[str, Callable[[Iterable[VideoMasks]], Iterator[tuple[str, bytes]]]] = {
    "coco": json_formats.coco,
    "youtube-vis": json_formats.youtube_vis,
    "sav": json_formats.sav,
    "davis": png_formats.davis,
    "png": png_formats.per_object_png,
    "mot": text_formats.mot,
    "mots": text_formats.mots,
    "got10k": text_formats.got10k,
    "trackingnet": text_formats.trackingnet,
}

_COLUMNS = ["video_id", "object_id", "frame_index", "timestamp_s", "height", "width", "segmentation", "mask_score"]


def export_masks(
    masks_uri: str,
    output: str,
    format: str,  # noqa: A002
    videos: Iterable[str] | None = None,
    objects: Iterable[str] | None = None,
) -> int:
    """Write the masks of an output folder, or of some of its videos and objects, to ``output``.

    ``format`` is one of FORMATS. Frames keep their index in the video. Returns the number of files. Raises ConfigError
    if the format is unknown or there are no rows.
    """
    if format not in FORMATS:
        raise ConfigError(f"format {format!r} is not known; use one of {', '.join(FORMATS)}")
    chosen = None if objects is None else list(objects)
    ids = read_masks(masks_uri, videos, chosen, columns=["video_id"])["video_id"].unique().tolist()
    if not ids:
        raise ConfigError(f"{storage.redact(masks_uri)}: there are no mask rows to export; run the job first")
    rows = (
        VideoMasks.of_rows(video_id, read_masks(masks_uri, [video_id], chosen, columns=_COLUMNS))
        for video_id in sorted(ids)
    )
    num_files = 0
    for name, data in FORMATS[format](rows):
        storage.write_bytes(storage.join(output, name), data)
        num_files += 1
    return num_files
