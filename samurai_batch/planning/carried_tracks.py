"""Tracks that begin with the memories of a track of another video (`from_video`): in which order, and in which groups.

Such a track waits for its source to end. All tracks of one video that are equally many sources away from a track with a
prompt of its own wait together: they share the image encoder, and what shares a shard depends on the prompts table
alone, as for all tracks.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from samurai_batch.errors import PromptsError
from samurai_batch.tasks import Track, TrackId

PROMPTS = "prompts of kind from_video"


@dataclass(frozen=True, eq=False)
class CarriedGroup:
    """Tracks of one video that wait together for their sources."""

    tracks: tuple[Track, ...]

    @property
    def sources(self) -> frozenset[TrackId]:
        """The tracks whose memories they begin with."""
        return frozenset(source for track in self.tracks if (source := source_of(track)))


def source_of(track: Track) -> TrackId | None:
    """The track whose memories this one begins with; None for one with prompts of its own."""
    return track.carried_from.track_id if track.carried_from else None


def carried_groups(tracks: Iterable[Track]) -> list[CarriedGroup]:
    """The groups of all tracks with a source, those first that others wait for.

    Raises PromptsError for tracks that wait for each other.
    """
    sources = {track.track_id: source for track in tracks if (source := source_of(track))}
    depths = _depths(sources)
    groups: dict[tuple[int, str], list[Track]] = defaultdict(list)
    for track in tracks:
        if track.track_id in sources:
            groups[depths[track.track_id], track.video.video_id].append(track)
    return [CarriedGroup(tuple(groups[key])) for key in sorted(groups)]


def _depths(sources: Mapping[TrackId, TrackId]) -> dict[TrackId, int]:
    """The number of sources from each track back to one that has none."""
    depths: dict[TrackId, int] = {}
    for start in sources:
        path: dict[TrackId, None] = {}
        at = start
        while at in sources and at not in depths:
            if at in path:
                raise PromptsError(PROMPTS, [_describe_cycle([*path], at)])
            path[at] = None
            at = sources[at]
        for depth, one in enumerate(reversed(path), depths.get(at, 0) + 1):
            depths[one] = depth
    return depths


def _describe_cycle(path: list[TrackId], at: TrackId) -> str:
    cycle = [*path[path.index(at) :], at]
    names = " <- ".join(f"{object_id!r} of {video_id!r}" for video_id, object_id in cycle)
    return f"these tracks begin with each other's memories: {names}; give one of them a box, points or a mask"
