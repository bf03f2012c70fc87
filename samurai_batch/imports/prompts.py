"""The prompts that an import takes from a file, with the names that the file has, and what it leaves out and why."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from samurai_batch import storage
from samurai_batch.errors import PromptError
from samurai_batch.exports.pictures import parsed_picture_name
from samurai_batch.manifest import cells
from samurai_batch.prompts import Box, BoxPrompt, MaskPrompt, PointsPrompt, Prompt, Rle
from samurai_batch.tasks import TrackId


@dataclass(frozen=True)
class ImportedPrompt:
    """One prompt of a file: of which video, by its id, and of which object."""

    video_id: str
    object_id: str
    prompt: Prompt

    @property
    def track_id(self) -> TrackId:
        """(video_id, object_id)."""
        return self.video_id, self.object_id

    @property
    def place(self) -> tuple[str, str, int]:
        """(video_id, object_id, frame_index)."""
        return self.video_id, self.object_id, self.prompt.frame_index


@dataclass
class ImportedPrompts:
    """The prompts of a file, in its order, and how many of its shapes were left out for each reason.

    ``classes`` are the names that turned out to be those of classes, with the number of their shapes.
    """

    prompts: list[ImportedPrompt] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count shapes that no prompt can be made of; ``reason`` describes them in the plural."""
        if count:
            self.left_out[reason] += count

    def add(self, track_id: TrackId, prompt: Prompt) -> None:
        """Add a prompt."""
        self.prompts.append(ImportedPrompt(*track_id, prompt))

    def add_box(self, track_id: TrackId, frame_index: int, box_xyxy: Box) -> None:
        """Add a box in pixels, or count it as left out if a prompts table cannot hold it."""
        try:
            self.add(track_id, BoxPrompt(frame_index, cells.box(list(box_xyxy))))
        except (PromptError, ValueError):
            self.leave_out("boxes outside of the picture, without an area, or on no frame")

    def add_mask(self, track_id: TrackId, frame_index: int, mask: Rle | None) -> None:
        """Add a mask, or count it as left out if it is empty."""
        if mask is None:
            self.leave_out("empty masks")
        else:
            self.add(track_id, MaskPrompt(frame_index, mask))

    def add_points(self, track_id: TrackId, frame_index: int, points: Iterable[tuple[float, float]]) -> None:
        """Add points on the object, or count them as left out if one is outside of the picture."""
        try:
            found = cells.points([list(point) for point in points])
            self.add(track_id, PointsPrompt(frame_index, found, (1,) * len(found)))
        except (PromptError, ValueError):
            self.leave_out("points outside of the picture, or on no frame")

    def without_classes(self, known: Collection[TrackId]) -> "ImportedPrompts":
        """One prompt for each object and frame, where the name of a class is not that of an object.

        A name with several shapes on one frame is a class, if no track of ``known`` is called so. Each of its shapes is
        an object, called ``<name>-<frame>-<number on the frame>``.
        """
        unique = list(dict.fromkeys(self.prompts))
        places = Counter(one.place for one in unique if not isinstance(one.prompt, PointsPrompt))
        classes = {(video, name) for (video, name, _), number in places.items() if number > 1} - set(known)
        result, numbers = ImportedPrompts(left_out=Counter(self.left_out)), Counter[tuple[str, str, int]]()
        for one in unique:
            if one.track_id in classes:
                name = f"{one.object_id}-{one.prompt.frame_index}-{numbers[one.place]}"
                result.classes[one.object_id] += 1
                result.prompts.append(replace(one, object_id=name))
                numbers[one.place] += 1
            else:
                result.prompts.append(one)
        return replace(result.one_for_each_frame(), classes=result.classes)

    def one_for_each_frame(self) -> "ImportedPrompts":
        """One box or mask for each object and frame, or all of its points; other shapes are counted as left out."""
        kept: dict[tuple[str, str, int], Prompt] = {}
        result = ImportedPrompts(left_out=Counter(self.left_out))
        for one in self.prompts:
            before = kept.get(one.place)
            if before is None:
                kept[one.place] = one.prompt
            elif isinstance(before, PointsPrompt) and isinstance(one.prompt, PointsPrompt):
                points, labels = before.points_xy + one.prompt.points_xy, before.labels + one.prompt.labels
                kept[one.place] = PointsPrompt(before.frame_index, points, labels)
            elif before != one.prompt:
                result.leave_out("further shapes of the same object on the same frame")
        result.prompts = [
            ImportedPrompt(video_id, object_id, prompt) for (video_id, object_id, _), prompt in kept.items()
        ]
        return result


class Videos:
    """The videos that a file may name: by id, with the URI of each.

    Without any, a name in the file is a video's id, and its URI stays unknown.
    """

    def __init__(self, uris: Mapping[str, str], size_of: Callable[[str], tuple[int, int]] | None = None) -> None:
        self.uris = dict(uris)
        self._size_of = size_of
        self._sizes: dict[str, tuple[int, int]] = {}

    def id_of(self, *names: str) -> str:
        """The id of the video that one of these names means: an id, a file name, or a file name without its ending.

        A file about one video may call it as it likes: if one video is known, that is the one. Else the first name.
        """
        known = next(filter(None, map(self._known, names)), None)
        if known is None and len(self.uris) == 1:
            (known,) = self.uris
        return known or storage.unquote_id(next(filter(None, names), "video"))

    def frame_of(self, name: str) -> tuple[str, int]:
        """The id of the video and the index of the frame that a picture shows, by the picture's name.

        The name is ``<video>/<frame>.jpg`` as exports write it, or that of a known video, which is a picture then, or
        it ends with the frame's number, which the video's name stands before, or its folder's. Others are pictures.
        """
        if (parsed := parsed_picture_name(name)) is not None:
            return self.id_of(parsed[0], name), parsed[1]
        file, numbered = storage.file_name(name), storage.numbered_name(name)
        if numbered is None or self._known(name):
            return self.id_of(file), 0
        prefix, frame_index = numbered
        return self.id_of(PurePosixPath(name).parent.name, prefix, file), frame_index

    def _known(self, name: str) -> str | None:
        for meant in (name, storage.unquote_id(name), storage.unquote_id(PurePosixPath(name).stem)):
            if meant in self.uris:
                return meant
        for video_id, uri in self.uris.items():
            file = storage.file_name(uri)
            if storage.file_name(name) in (file, PurePosixPath(file).stem):
                return video_id
        return None

    def size(self, video_id: str) -> tuple[int, int]:
        """Height and width of a video in pixels. Raises ValueError if it is not known where the video is."""
        if video_id not in self._sizes:
            if self._size_of is None or video_id not in self.uris:
                raise ValueError(f"its numbers are parts of a picture, and the size of video {video_id!r} is not known")
            self._sizes[video_id] = self._size_of(self.uris[video_id])
        return self._sizes[video_id]
