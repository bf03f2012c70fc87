"""Tracks from the prompts of a file, and corrections: what differs from the masks that were exported."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from samurai_batch.errors import ConfigError, PromptError
from samurai_batch.geometry import mask_box_xyxy
from samurai_batch.imports.prompts import ImportedPrompt, ImportedPrompts, Videos
from samurai_batch.masks import read_masks
from samurai_batch.prompts import BoxPrompt, MaskPrompt, Prompt, Rle
from samurai_batch.rle import box_xywh_of, decode_mask, rle_from_coco
from samurai_batch.tasks import Track, TrackId, Video, possible_prompts

SAME_BOX_PX = 0.5
"""A box is as it was exported if no side has moved by more; tools round coordinates."""

Kind = Literal["box", "mask"]


@dataclass(frozen=True)
class Import:
    """The tracks to write, the number of prompts that were taken, and what was left out and why.

    ``classes`` are names of the file that are those of classes, with the number of objects made of each.
    """

    tracks: tuple[Track, ...]
    num_prompts: int
    changed: tuple[TrackId, ...]
    left_out: Mapping[str, int]
    classes: Mapping[str, int]


def corrections(found: ImportedPrompts, output: str) -> ImportedPrompts:
    """The prompts that differ from the masks of an output, one for each object and frame; others are left out."""
    result = ImportedPrompts(left_out=Counter(found.left_out))
    by_video: dict[str, list[ImportedPrompt]] = {}
    for one in found.prompts:
        by_video.setdefault(one.video_id, []).append(one)
    for video_id, of_video in by_video.items():
        masks = _masks(output, video_id, of_video)
        for one in of_video:
            if is_unchanged(one.prompt, masks.get((one.object_id, one.prompt.frame_index))):
                result.leave_out("shapes as they were exported")
            else:
                result.prompts.append(one)
    return result.one_for_each_frame()


def is_unchanged(prompt: Prompt, mask: Rle | None) -> bool:
    """Whether a prompt says what a mask of its frame says already: the same mask, or its box."""
    if mask is None:
        return False
    if isinstance(prompt, MaskPrompt):
        return prompt.mask == mask or bool(
            (mask.height, mask.width) == (prompt.mask.height, prompt.mask.width)
            and np.array_equal(decode_mask(prompt.mask), decode_mask(mask))
        )
    if isinstance(prompt, BoxPrompt):
        left, top, width, height = box_xywh_of(mask)
        sides = zip(prompt.box_xyxy, (left, top, left + width, top + height), strict=True)
        return all(abs(a - b) <= SAME_BOX_PX for a, b in sides)
    return False


def to_tracks(
    found: ImportedPrompts,
    videos: Videos,
    *,
    base: Sequence[Track] = (),
    first_only: bool = False,
    kind: Kind | None = None,
) -> Import:
    """The tracks of ``base`` with the prompts of a file, which replace those of their frames, and new tracks.

    ``first_only`` keeps the first prompt of each track of the file. ``kind`` "box" makes boxes of masks, "mask" leaves
    out what is none. Names of classes are told from those of objects (`ImportedPrompts.without_classes`). Raises
    ConfigError if nothing can be taken, or if it is not known where a video is.
    """
    tracks = {track.track_id: track for track in base}
    found = found.without_classes(tracks.keys())
    left_out = Counter(found.left_out)
    changed: list[TrackId] = []
    num_prompts = 0
    for track_id, prompts in _by_track(_of_kind(found.prompts, kind, left_out)).items():
        chosen = prompts[:1] if first_only else prompts
        if len(chosen) < len(prompts):
            left_out["prompts after the first of their track"] += len(prompts) - len(chosen)
        before = tracks.get(track_id)
        if before is None and _is_detected(track_id, tracks):
            left_out["prompts of detected objects (a text, everything or discover prompt has found them)"] += len(
                chosen
            )
            continue
        inside = [prompt for prompt in chosen if before is None or _is_within(before, prompt)]
        if len(inside) < len(chosen):
            left_out["prompts on frames outside of their track"] += len(chosen) - len(inside)
        if inside:
            tracks[track_id] = _with_prompts(before, track_id, inside, videos)
            changed.append(track_id)
            num_prompts += len(inside)
    if not changed:
        reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        raise ConfigError(f"no prompts were found ({reasons or 'the file has no shapes'}); nothing was written")
    return Import(tuple(tracks.values()), num_prompts, tuple(changed), dict(left_out), dict(found.classes))


def _masks(output: str, video_id: str, prompts: Iterable[ImportedPrompt]) -> dict[tuple[str, int], Rle]:
    """The masks of an output on the frames of these prompts."""
    frames, objects = set(), set()
    for one in prompts:
        frames.add(one.prompt.frame_index)
        objects.add(one.object_id)
    rows = read_masks(output, [video_id], sorted(objects), sorted(frames), ["object_id", "frame_index", "segmentation"])
    return {
        (object_id, int(frame)): rle_from_coco(mask)
        for object_id, frame, mask in rows.itertuples(index=False, name=None)
        if isinstance(mask, dict)
    }


def _of_kind(prompts: Iterable[ImportedPrompt], kind: Kind | None, left_out: Counter[str]) -> list[ImportedPrompt]:
    kept = []
    for one in prompts:
        prompt = one.prompt
        if kind == "box" and isinstance(prompt, MaskPrompt):
            box = mask_box_xyxy(decode_mask(prompt.mask))
            assert box is not None, "a mask prompt is not empty"
            kept.append(replace(one, prompt=BoxPrompt(prompt.frame_index, box)))
        elif kind == "mask" and not isinstance(prompt, MaskPrompt):
            left_out["shapes that are no masks"] += 1
        else:
            kept.append(one)
    return kept


def _by_track(prompts: Iterable[ImportedPrompt]) -> dict[TrackId, list[Prompt]]:
    """The prompts of each track, by frame."""
    by_track: dict[TrackId, list[Prompt]] = {}
    for one in prompts:
        by_track.setdefault(one.track_id, []).append(one.prompt)
    return {track: sorted(of_track, key=lambda prompt: prompt.frame_index) for track, of_track in by_track.items()}


def _is_detected(track_id: TrackId, tracks: Mapping[TrackId, Track]) -> bool:
    """Whether an object, such as ``x#0``, comes from a detection for a track ``x``, which would be made again."""
    return any(tracks[one].auto_prompt is not None for one in possible_prompts(track_id) if one in tracks)


def _is_within(track: Track, prompt: Prompt) -> bool:
    is_before_end = track.end_frame is None or prompt.frame_index <= track.end_frame
    return (track.start_frame or 0) <= prompt.frame_index and is_before_end


def _with_prompts(before: Track | None, track_id: TrackId, prompts: Sequence[Prompt], videos: Videos) -> Track:
    video_id, object_id = track_id
    if before is not None:
        frames = {prompt.frame_index for prompt in prompts}
        kept = [prompt for prompt in before.prompts if prompt.frame_index not in frames]
        return replace(before, prompts=tuple(sorted([*kept, *prompts], key=lambda prompt: prompt.frame_index)))
    if video_id not in videos.uris:
        known = f"known are {', '.join(videos.uris)}" if videos.uris else "a file of annotations does not say it"
        raise ConfigError(f"it is not known where video {video_id!r} is ({known}); add --video '{video_id}=URI'")
    try:
        return Track(video=Video(video_id, videos.uris[video_id]), object_id=object_id, prompts=tuple(prompts))
    except PromptError as error:
        raise ConfigError(f"{error}; correct it in the file") from error
