"""A Hugging Face dataset of mask rows: ``datasets.load_dataset("<folder>")`` gives the columns of a mask table.

``data/<video>.parquet`` has the rows of a video, by frame and object, and the features in the file's metadata;
``README.md`` is the dataset card. Masks stay compressed: ``pycocotools.mask.decode(row["segmentation"])`` decodes one.
"""

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from samurai_batch.exports.video_masks import Files, VideoMasks
from samurai_batch.masks import MASK_SCHEMA
from samurai_batch.storage import quote_id

_CARD = """---
task_categories:
- mask-generation
- object-detection
tags:
- video-object-segmentation
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
---

Masks of tracked objects, one row for each video, object and frame, written by samurai_batch. `segmentation` is a
compressed COCO RLE, or null where the object is absent; boxes (`bbox_x`, `bbox_y`, `bbox_w`, `bbox_h`) are in pixels.
"""


def hugging_face(videos: Iterable[VideoMasks]) -> Files:
    """``data/<video>.parquet`` for each video, and ``README.md``."""
    for video in videos:
        table = pa.Table.from_pandas(video.rows, schema=MASK_SCHEMA, preserve_index=False)
        info = json.dumps({"info": {"features": _features(MASK_SCHEMA)}})
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({"huggingface": info}), sink, compression="zstd")
        yield f"data/{quote_id(video.video_id)}.parquet", sink.getvalue().to_pybytes()
    yield "README.md", _CARD.encode()


def _features(fields: Iterable[pa.Field]) -> dict[str, Any]:
    return {field.name: _feature(field.type) for field in fields}


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """An Arrow type as the library ``datasets`` describes it."""
    if pa.types.is_struct(kind):
        return _features(kind)
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    names = {pa.float32(): "float32", pa.float64(): "float64"}
    return {"dtype": names.get(kind, str(kind)), "_type": "Value"}
