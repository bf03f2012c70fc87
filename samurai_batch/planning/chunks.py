"""Where a leg is cut into chunks: at absolute multiples of the chunk length, whatever frame the leg starts on.

Chunk k of a video holds frames [k * chunk_frames, (k + 1) * chunk_frames). A forward leg walks up through the
chunks, a reverse leg down, so the legs of one direction meet at the same boundaries. ``num_frames`` (of the
video) is None before the video is opened; then the end of a forward leg without ``end_frame`` is None as well.

A track may leave frames out (`tasks.FrameSampling`). The chunk length of a job is a multiple of its frame step, so
that every chunk begins with a frame that is tracked, and none between the first and the last chunk of a leg is empty.
"""

from collections.abc import Iterable

from samurai_batch.tasks import Leg


def chunk_of(frame_index: int, chunk_frames: int) -> int:
    """The chunk that holds a frame."""
    return frame_index // chunk_frames


def chunks_in_order(num_frames: int, chunk_frames: int, reverse: bool) -> range:
    """All chunks of a video, in the order in which legs of one direction go through them."""
    chunks = range(-(-num_frames // chunk_frames))
    return chunks[::-1] if reverse else chunks


def first_chunk(leg: Leg, chunk_frames: int) -> int:
    """The chunk a leg begins in."""
    return chunk_of(leg.start_frame, chunk_frames)


def last_frame(leg: Leg, num_frames: int | None) -> int | None:
    """The last frame that a leg covers, included: the lowest one of a reverse leg."""
    end = _end(leg, num_frames)
    if end is None or leg.track.sampling.every == 1:
        return end
    between = _sampled(leg, min(end, leg.start_frame), max(end, leg.start_frame))
    return between[0] if leg.reverse else min(end, between[-1])  # a truncated video may end before the leg begins


def num_steps(leg: Leg, num_frames: int) -> int:
    """The number of frames that a leg covers."""
    end = _end(leg, num_frames)
    assert end is not None
    low, high = min(end, leg.start_frame), max(end, leg.start_frame)
    if leg.track.ends_at_cuts:
        return sum(map(leg.covers, range(low, high + 1)))
    every = leg.track.sampling.every
    others = {prompt.frame_index for prompt in leg.track.prompts if prompt.frame_index % every}
    return high // every - (low - 1) // every + sum(low <= frame_index <= high for frame_index in others)


def _end(leg: Leg, num_frames: int | None) -> int | None:
    """The last frame of the leg's span, covered or not; where cuts end it, of the shot of its last prompt."""
    end = leg.end_frame
    assert end is not None or not leg.reverse
    if num_frames is not None and not leg.reverse:
        end = num_frames - 1 if end is None else min(end, num_frames - 1)
    return end if end is None or not leg.track.ends_at_cuts else _end_at_cut(leg, end)


def _end_at_cut(leg: Leg, end: int) -> int:
    low, high = min(end, leg.start_frame), max(end, leg.start_frame)
    prompted = [prompt.frame_index for prompt in leg.track.prompts if low <= prompt.frame_index <= high]
    shot, cuts = leg.track.shot_of(min(prompted) if leg.reverse else max(prompted)), leg.track.scene_cuts or ()
    if leg.reverse:
        return max(end, cuts[shot - 1]) if shot else end
    return min(end, cuts[shot] - 1) if shot < len(cuts) else end


def _sampled(leg: Leg, low: int, high: int) -> range:
    """From the first to the last frame in ``low`` to ``high`` that the track covers; empty if there is none."""
    every = leg.track.sampling.every
    if every == 1:
        return range(low, high + 1)
    bounds = [low + -low % every, high - high % every, *(prompt.frame_index for prompt in leg.track.prompts)]
    within = [frame_index for frame_index in bounds if low <= frame_index <= high]
    return range(min(within), max(within) + 1) if within else range(0)


def last_chunk(leg: Leg, chunk_frames: int, num_frames: int | None) -> int | None:
    """The chunk a leg ends in."""
    frame_index = last_frame(leg, num_frames)
    return None if frame_index is None else chunk_of(frame_index, chunk_frames)


def step(reverse: bool) -> int:
    """From one chunk to the next one of the walk: +1 forward, -1 in reverse."""
    return -1 if reverse else 1


def is_past(chunk: int, other: int, reverse: bool) -> bool:
    """Whether the walk meets ``chunk`` after ``other``."""
    return chunk < other if reverse else chunk > other


def frames_left(leg: Leg, next_chunk: int, chunk_frames: int, num_frames: int) -> range:
    """The remaining frames (ascending) of a leg whose next chunk is ``next_chunk``.

    With a frame step, prompted frames that are no multiples of it are not counted; shots between that have no prompt
    are. The range is empty if none is left.
    """
    end, every = last_frame(leg, num_frames), leg.track.sampling.every
    assert end is not None
    if leg.reverse:
        return range(end, min(leg.start_frame, (next_chunk + 1) * chunk_frames - 1) + 1, every)
    return range(max(leg.start_frame, next_chunk * chunk_frames), end + 1, every)


def frames_to_propagate(legs: Iterable[Leg], chunk: int, chunk_frames: int, num_frames: int) -> range:
    """The frames of a chunk that legs of one direction need, in their order; none if no leg covers any.

    They go from the first frame that any of the legs covers to the last, gaps between legs included. If all of them
    are multiples of one frame step, those between are left out.
    """
    legs = tuple(legs)
    reverse = legs[0].reverse
    assert all(leg.reverse == reverse for leg in legs), "legs of one call go one way"
    low, high = chunk * chunk_frames, min((chunk + 1) * chunk_frames, num_frames) - 1
    spans = [_covered(leg, low, high, num_frames) for leg in legs]
    spans = [span for span in spans if span]
    if not spans:
        return range(0)
    low, high = min(span[0] for span in spans), max(span[-1] for span in spans)
    every = _common_step(legs, low, high)
    return range(high, low - 1, -every) if reverse else range(low, high + 1, every)


def _common_step(legs: tuple[Leg, ...], low: int, high: int) -> int:
    """The frame step of all legs, if every frame between that one of them covers is a multiple of it; otherwise 1."""
    steps = {leg.track.sampling.every for leg in legs}
    every = steps.pop() if len(steps) == 1 else 1
    prompted = {prompt.frame_index for leg in legs for prompt in leg.track.prompts}
    return every if all(one % every == 0 for one in prompted if low <= one <= high) else 1


def _covered(leg: Leg, low: int, high: int, num_frames: int) -> range:
    end = last_frame(leg, num_frames)
    assert end is not None
    first, last = (end, leg.start_frame) if leg.reverse else (leg.start_frame, end)
    span = _sampled(leg, max(low, first), min(high, last))
    if not leg.track.ends_at_cuts:
        return span
    covered = [frame_index for frame_index in span if leg.covers(frame_index)]
    return range(covered[0], covered[-1] + 1) if covered else range(0)
