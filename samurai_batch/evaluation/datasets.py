"""The benchmarks by name, with their protocols, and their prompts as tracks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from samurai_batch.errors import ConfigError, PromptError
from samurai_batch.evaluation import readers, several_objects
from samurai_batch.evaluation.boxes import BoxProtocol
from samurai_batch.evaluation.truth import BoxTruth, Sequence, Truth
from samurai_batch.geometry import mask_box_xyxy
from samurai_batch.manifest import write_prompts
from samurai_batch.prompts import BoxPrompt, MaskPrompt, Prompt
from samurai_batch.rle import encode_mask
from samurai_batch.tasks import Track, Video

PromptKind = Literal["box", "mask"]

LASOT_PROTOCOL = BoxProtocol(absent_prediction="repeat", counts_absent=True)
GOT10K_PROTOCOL = BoxProtocol(
    absent_prediction="empty", counts_absent=False, first_frame="skipped", pooled=True, clipped=True
)
TRACKINGNET_PROTOCOL = BoxProtocol(absent_prediction="empty", counts_absent=True, whole_pixels=True, precision="area")
OTB_PROTOCOL = BoxProtocol(absent_prediction="repeat", counts_absent=False)


@dataclass(frozen=True)
class Dataset:
    """One benchmark. ``protocol`` is None if it has masks, which are measured by J and F.

    ``measure``: its objects one by one, or all objects of a video together, by HOTA, CLEAR MOT and IDF1.
    ``exclusive``: a pixel belongs to one object at most. Where predicted masks overlap, the one with the higher mask
    score keeps the pixel.
    """

    name: str
    read: Callable[[Path], Iterator[Sequence]]
    protocol: BoxProtocol | None = None
    exclusive: bool = False
    measure: Literal["objects", "association"] = "objects"


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("davis16", readers.davis16),
        Dataset("davis17", readers.davis17, exclusive=True),
        Dataset("sav", readers.sav),
        Dataset("lasot", readers.lasot, LASOT_PROTOCOL),
        Dataset("lasot-ext", readers.lasot, LASOT_PROTOCOL),
        Dataset("got10k", readers.got10k, GOT10K_PROTOCOL),
        Dataset("trackingnet", readers.trackingnet, TRACKINGNET_PROTOCOL),
        Dataset("otb", readers.otb, OTB_PROTOCOL),
        Dataset("nfs", readers.nfs, OTB_PROTOCOL),
        *(
            Dataset(name, read, exclusive=name == "mots", measure="association")
            for name, read in several_objects.READERS.items()
        ),
    )
}


def dataset_named(name: str) -> Dataset:
    """The benchmark of this name. Raises ConfigError if there is none."""
    if name not in DATASETS:
        raise ConfigError(f"dataset {name!r} is not known; use one of {', '.join(DATASETS)}")
    return DATASETS[name]


def read_sequences(name: str, root: str | Path, only: Iterable[str] | None = None) -> Iterator[Sequence]:
    """The sequences of a benchmark's folder, or those whose names are in ``only``. Raises ConfigError."""
    dataset = dataset_named(name)
    wanted = None if only is None else set(only)
    for sequence in dataset.read(Path(root)):
        if wanted is None or sequence.name in wanted:
            yield sequence
        if wanted is not None:
            wanted.discard(sequence.name)
    if wanted:
        raise ConfigError(f"{root}: there is no sequence {', '.join(sorted(wanted))} in this copy of {name}")


def write_dataset_prompts(
    dataset: str, root: str | Path, prompts_uri: str, kind: PromptKind = "box", only: Iterable[str] | None = None
) -> int:
    """Write a benchmark's prompts table (``samurai-batch prompts``); returns how many tracks it holds.

    Raises ConfigError.
    """
    tracks = [track for sequence in read_sequences(dataset, root, only) for track in sequence_tracks(sequence, kind)]
    write_prompts(prompts_uri, tracks)
    return len(tracks)


def sequence_tracks(sequence: Sequence, kind: PromptKind = "box") -> list[Track]:
    """The tracks of one sequence, each with one prompt on the first frame of its ground truth: a box or a mask.

    Raises ConfigError if the kind is "mask" and the benchmark has only boxes.
    """
    if kind not in ("box", "mask"):
        raise ConfigError(f"prompts of kind {kind!r} are not known; use box or mask")
    video = Video(sequence.name, str(sequence.frames_folder.absolute()))
    return [
        Track(
            video=video,
            object_id=object_id,
            prompts=(_prompt(truth, kind, sequence.name),),
            end_frame=_end_frame(truth),
        )
        for object_id, truth in sequence.objects.items()
    ]


def _end_frame(truth: Truth) -> int | None:
    """The last frame with a box. None for masks, and for a single box: the rest of that ground truth is not public."""
    if not isinstance(truth, BoxTruth) or len(truth.boxes_xywh) == 1:
        return None
    return truth.first_frame() + len(truth.boxes_xywh) - 1


def _prompt(truth: Truth, kind: PromptKind, name: str) -> Prompt:
    if isinstance(truth, BoxTruth):
        if kind == "mask":
            raise ConfigError(f"{name}: this benchmark has only boxes; use prompts of kind box")
        left, top, width, height = truth.boxes_xywh[0].tolist()
        try:
            return BoxPrompt(truth.first_frame(), (left, top, left + width, top + height))
        except PromptError as error:
            raise ConfigError(f"{name}: its first box cannot be a prompt: {error}") from error
    frame_index = truth.first_frame()
    mask, _ = truth.read(frame_index)
    box_xyxy, rle = mask_box_xyxy(mask), encode_mask(mask)
    assert box_xyxy is not None
    assert rle is not None
    return MaskPrompt(frame_index, rle) if kind == "mask" else BoxPrompt(frame_index, box_xyxy)
