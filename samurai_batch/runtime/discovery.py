"""Discover prompts in a replica and in storage: windows are decided, decisions are kept, and tracks are read back.

`<output>/_ledger/discovery/<fingerprint>/<window>.json` is the decision on one window (chunk) of a video, written
before anything follows from it: a later run begins with the first window that has none. Once the last window is
decided, `<output>/_prompts/<fingerprint>.json` holds all tracks, like the detections of any other prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from samurai_batch.background import for_each
from samurai_batch.errors import PromptError, StateError
from samurai_batch.ledger.checkpoints import part_uri
from samurai_batch.ledger.store import Store, ledger_uri
from samurai_batch.masks import bytes_to_table
from samurai_batch.planning.chunks import chunk_of
from samurai_batch.planning.discovery import Decision, DiscoveryRules, FrameFacts, decide
from samurai_batch.planning.fingerprints import fingerprint_of_found
from samurai_batch.planning.orders import DiscoverOrder
from samurai_batch.prompts import BoxPrompt, DiscoverPrompt, FrameDetection, MaskPrompt
from samurai_batch.runtime.frame_facts import facts_of, masks_on, sampled_frames, useful_detections
from samurai_batch.runtime.window_detections import read_windows
from samurai_batch.storage import join, redact_uri
from samurai_batch.tasks import Track

_DECISION = TypeAdapter(Decision)


@dataclass(frozen=True, kw_only=True)
class FoundTrack:
    """A track that a discovery has started, as it is kept: ``end_frame`` is None if it was not ended."""

    object_id: str
    prompts: tuple[BoxPrompt | MaskPrompt, ...]
    end_frame: int | None = None


_FOUND = TypeAdapter(list[FoundTrack])


def discover_prompt_of(track: Track) -> DiscoverPrompt:
    """The prompt of a track that is a discovery."""
    prompt = track.auto_prompt
    assert isinstance(prompt, DiscoverPrompt)
    return prompt


def first_window(track: Track, chunk_frames: int) -> int:
    """The window that a discovery begins with."""
    return chunk_of(discover_prompt_of(track).frame_index, chunk_frames)


# -- in storage


def read_decisions(store: Store, output: str, track: Track, fingerprint: str, chunk_frames: int) -> list[Decision]:
    """The decisions on the first windows of a discovery, up to the first window without one. Raises StateError."""
    names = set(store.list_names(_folder(output, fingerprint)))
    decisions: list[Decision] = []
    first = first_window(track, chunk_frames)
    while f"{first + len(decisions)}.json" in names:
        decisions.append(_read_decision(store, output, fingerprint, first + len(decisions)))
    return decisions


def found_tracks(decisions: Sequence[Decision]) -> list[FoundTrack]:
    """The tracks that these decisions leave, those that have ended too, in the order of their starts."""
    found: dict[str, FoundTrack] = {}
    for decision in decisions:
        for start in decision.started:
            found[start.object_id] = FoundTrack(object_id=start.object_id, prompts=(start.prompt,))
        for name, prompt in decision.prompted.items():
            found[name] = replace(found[name], prompts=(*found[name].prompts, prompt))
        for name, end in decision.ended.items():
            kept = tuple(prompt for prompt in found[name].prompts if prompt.frame_index <= end)
            found[name] = FoundTrack(object_id=name, prompts=kept, end_frame=end)
        for name in decision.dropped:
            del found[name]
    return list(found.values())


def as_track(whole: Track, fingerprint: str, found: FoundTrack) -> Track:
    """The track of a job that a discovery has started."""
    end = whole.end_frame if found.end_frame is None else found.end_frame
    return replace(whole, object_id=found.object_id, prompts=found.prompts, end_frame=end, origin=fingerprint)


def read_found(store: Store, uri: str, track: Track, fingerprint: str) -> tuple[Track, ...]:
    """The tracks of a discovery that is done. Raises StateError if the file is damaged."""
    try:
        found = _FOUND.validate_json(store.read_bytes(uri))
        return tuple(as_track(track, fingerprint, one) for one in found)
    except (ValidationError, PromptError) as error:
        raise StateError(f"{redact_uri(uri)} is damaged; delete it to have its tracks discovered again") from error


def _read_decision(store: Store, output: str, fingerprint: str, window: int) -> Decision:
    uri = _uri(output, fingerprint, window)
    try:
        return _DECISION.validate_json(store.read_bytes(uri))
    except FileNotFoundError as error:
        raise StateError(f"{redact_uri(uri)}: the decision on the window before is missing") from error
    except (ValidationError, PromptError) as error:
        raise StateError(
            f"{redact_uri(uri)} is damaged; delete its folder to have the video discovered again"
        ) from error


def _folder(output: str, fingerprint: str) -> str:
    return join(ledger_uri(output), "discovery", fingerprint)


def _uri(output: str, fingerprint: str, window: int) -> str:
    return join(_folder(output, fingerprint), f"{window}.json")


# -- in a replica


def carry_out(
    order: DiscoverOrder, rules: DiscoveryRules, store: Store, output: str, found_uri: str, num_transfers: int
) -> Decision:
    """Decide on a window and, unless tracks lack rows, write the decision; after the last window, all tracks too.

    Raises StateError for saved work that is missing or damaged, PromptError for a mask of another size than the video.
    """
    first = first_window(order.track, order.chunk_frames)
    before = None if order.window == first else _read_decision(store, output, order.fingerprint, order.window - 1)
    detections: Sequence[FrameDetection] = order.detections
    if order.detections_key:
        last = chunk_of(_last_frame(order), order.chunk_frames)
        windows = range(order.window, min(order.window + 1, last) + 1)  # and the first frame of the next window
        detections = read_windows(store, output, order.detections_key, windows)
    decision = _decide(order, rules, before, detections, _read_rows(order, store, output, num_transfers))
    if decision.missing:
        return decision
    if order.window >= chunk_of(_last_frame(order), order.chunk_frames):
        decisions = [_read_decision(store, output, order.fingerprint, window) for window in range(first, order.window)]
        store.write_bytes(found_uri, _FOUND.dump_json(found_tracks([*decisions, decision])))
    store.write_bytes(_uri(output, order.fingerprint, order.window), _DECISION.dump_json(decision))
    return decision


def _last_frame(order: DiscoverOrder) -> int:
    last, end = order.facts.num_frames - 1, order.track.end_frame
    return last if end is None else min(last, end)


def _window_frames(order: DiscoverOrder) -> range:
    low = order.window * order.chunk_frames
    return range(low, max(low, min(low + order.chunk_frames, _last_frame(order) + 1)))


def _read_rows(order: DiscoverOrder, store: Store, output: str, num_transfers: int) -> dict[str, pa.Table]:
    """The rows of the window of each track that has any, by object_id."""
    names = order.known if _window_frames(order) else ()

    def read(object_id: str) -> pa.Table:
        name = fingerprint_of_found(replace(order.track, object_id=object_id, origin=order.fingerprint))
        uri = part_uri(output, name, False, order.window, order.chunk_frames)
        try:
            return bytes_to_table(store.read_bytes(uri))
        except FileNotFoundError as error:
            raise StateError(f"{redact_uri(uri)}: the rows of this chunk are missing") from error

    return dict(zip(names, for_each(read, names, num_transfers), strict=True))


def _decide(
    order: DiscoverOrder,
    rules: DiscoveryRules,
    before: Decision | None,
    detections: Sequence[FrameDetection],
    tables: Mapping[str, pa.Table],
) -> Decision:
    prompt, frames, facts = discover_prompt_of(order.track), _window_frames(order), order.facts
    useful = useful_detections(prompt, detections, rules, facts.height, facts.width)
    sampled = sampled_frames(prompt, frames, rules.every)
    step = order.track.sampling.every
    before_border = [frame - frame % step for frame in frames[-1:]]  # the last frame that is tracked
    masks = masks_on(tables, [*sampled, *before_border])
    border = frames.stop if frames.stop <= _last_frame(order) and frames else -1
    is_sampled = border >= 0 and bool(sampled_frames(prompt, range(border, border + 1), rules.every))

    def facts_on(index: int, frame: int) -> FrameFacts:
        return facts_of(index, useful.get(index, ()), masks[frame])

    return decide(
        () if before is None else before.state,
        [facts_on(index, index) for index in sampled],
        order.known,
        rules,
        prefix=order.track.object_id,
        last_frame=_last_frame(order),
        border=facts_on(border, before_border[0]) if is_sampled else None,
    )
