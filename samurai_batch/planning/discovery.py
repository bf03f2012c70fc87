"""Which detections start tracks, and which tracks are dropped, ended or prompted anew, by SAM 3's rules.

A discovery goes through its video in windows, each one chunk. All tracks are propagated through a window first; then
`decide` goes through the window's sampled frames in order, with the detections of each and how they overlap the masks
of the tracks. A detection that matches no track starts one. Its masks are not known yet: then the tracks that lack
rows are propagated through the window, too, and `decide` is called again with the rows of all. The same values give
the same decisions, so nothing needs to be kept between the calls. `Decision.state` is what the next window begins with.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from samurai_batch.prompts import BoxPrompt, FrameDetection, MaskPrompt


@dataclass(frozen=True, kw_only=True)
class DiscoveryRules:
    """The thresholds of a discovery; `job.discovery.DiscoverySettings` says what each means and where it is from."""

    every: int
    detection_score: float
    detection_nms: float
    detection_box_nms: float
    new_track_score: float
    new_track_iou: float
    new_track_box_iou: float
    match_iou: float
    hold_back: int
    max_unmatched: int
    max_shared: int
    reprompt_every: int
    reprompt_score: float
    reprompt_iou: float
    reprompt_track_score: float
    merge_iou: float
    merge_frames: int
    end_after: int


@dataclass(frozen=True, kw_only=True)
class FrameFacts:
    """One sampled frame: its detections, the best first, and the tracks that have a mask there.

    ``mask_scores`` are of those tracks, by object_id. ``match_iou`` is the IoU of a track's mask and a detection
    (its index), and ``track_iou`` that of the masks of two tracks; pairs that do not overlap are left out.
    """

    frame_index: int
    detections: tuple[FrameDetection, ...] = ()
    mask_scores: Mapping[str, float] = field(default_factory=dict)
    match_iou: Mapping[tuple[str, int], float] = field(default_factory=dict)
    track_iou: Mapping[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrackMemory:
    """What is remembered of a track that goes on. Counts are of sampled frames; −1 is "never".

    ``absent_since`` is the first frame of its present absence, ``last_absent`` the last frame without a mask.
    ``merged_since`` and ``num_merged``: where its mask has become that of another track.
    """

    object_id: str
    start_frame: int
    num_sampled: int = 1
    num_unmatched: int = 0
    num_shared: int = 0
    is_confirmed: bool = False
    absent_since: int = -1
    last_absent: int = -1
    merged_since: int = -1
    num_merged: int = 0
    last_prompt: int = 0


DiscoveryState = tuple[TrackMemory, ...]
"""The tracks that go on, the oldest first."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A new track: the detection that starts it is its prompt."""

    object_id: str
    detection: FrameDetection

    @property
    def prompt(self) -> BoxPrompt | MaskPrompt:
        """The mask of the detection or, if it has none, its box."""
        return prompt_of(self.detection)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What follows from a window. ``missing`` tracks have no rows yet: propagate them and decide again.

    If none is missing: ``started`` tracks, those that were ``dropped`` in their hold-back, the last frame of those
    that have ``ended``, and new prompts of others, by object_id.
    """

    missing: tuple[Start, ...] = ()
    state: DiscoveryState = ()
    started: tuple[Start, ...] = ()
    dropped: tuple[str, ...] = ()
    ended: Mapping[str, int] = field(default_factory=dict)
    prompted: Mapping[str, BoxPrompt | MaskPrompt] = field(default_factory=dict)


def prompt_of(detection: FrameDetection) -> BoxPrompt | MaskPrompt:
    """A detection as a prompt."""
    if detection.mask is not None:
        return MaskPrompt(detection.frame_index, detection.mask)
    return BoxPrompt(detection.frame_index, detection.box_xyxy)


def object_id_of(prefix: str, facts: FrameFacts, index: int) -> str:
    """``<prefix>#<class>-<frame>-<number>``: the number counts the frame's detections of that class, best first.

    A detection has the same id whatever was decided before it.
    """
    name = facts.detections[index].class_name
    number = sum(one.class_name == name for one in facts.detections[:index])
    return f"{prefix}#{name}-{facts.frame_index}-{number}"


def decide(
    state: DiscoveryState,
    frames: Sequence[FrameFacts],
    known: Collection[str],
    rules: DiscoveryRules,
    *,
    prefix: str,
    last_frame: int,
    border: FrameFacts | None = None,
) -> Decision:
    """The decision on one window.

    ``frames`` are its sampled frames in order, ``known`` the tracks whose rows are in them, and ``last_frame`` the last
    one of the discovery. ``border`` has the detections of the first frame after the window, if that is sampled, and
    their overlap with the masks on the window's last frame.
    """
    window = _Window(list(state), rules, prefix, last_frame)
    for position, facts in enumerate(frames):
        window.observe(facts)
        missing = [one for one in window.started if one.object_id not in known]
        if missing:
            return Decision(missing=tuple(_with_likely(missing, window, frames[position + 1 :], known)))
    prompted = {} if border is None else window.prompt_anew(border)
    return Decision(
        state=tuple(window.tracks),
        started=tuple(window.started),
        dropped=tuple(window.dropped),
        ended=window.ended,
        prompted=prompted,
    )


class _Window:
    """The tracks of one discovery, moved on frame by frame."""

    def __init__(self, tracks: list[TrackMemory], rules: DiscoveryRules, prefix: str, last_frame: int) -> None:
        self.tracks = tracks
        self.started: list[Start] = []
        self.dropped: list[str] = []
        self.ended: dict[str, int] = {}
        self._rules = rules
        self.prefix = prefix
        self._last_frame = last_frame

    def observe(self, facts: FrameFacts) -> None:
        """Apply the rules to one sampled frame: first to the tracks there are, then to detections that match none."""
        self._count(facts)
        self._drop_held_back()
        self._end_absent(facts)
        self._end_merged(facts)
        self.started += self._start(facts)

    def prompt_anew(self, border: FrameFacts) -> dict[str, BoxPrompt | MaskPrompt]:
        """Prompts of tracks whose mask and a detection agree, for the frame of ``border``."""
        rules, prompted = self._rules, {}
        for place, track in enumerate(self.tracks):
            index = _best(border, track.object_id, rules.reprompt_iou)
            is_due = rules.reprompt_every and border.frame_index - track.last_prompt >= rules.reprompt_every
            if index is None or not is_due or track.num_merged:
                continue
            detection = border.detections[index]
            is_sure = border.mask_scores[track.object_id] > rules.reprompt_track_score
            if is_sure and detection.score >= rules.reprompt_score:
                prompted[track.object_id] = prompt_of(detection)
                self.tracks[place] = replace(track, last_prompt=border.frame_index)
        return prompted

    # -- the rules, in their order

    def _count(self, facts: FrameFacts) -> None:
        """Count on this frame: absent, unmatched, or sharing its detection with an older track."""
        taken: set[int] = set()
        for place, track in enumerate(self.tracks):
            if track.object_id not in facts.mask_scores:
                since = facts.frame_index if track.absent_since < 0 else track.absent_since
                track = replace(track, absent_since=since, last_absent=facts.frame_index)
            else:
                index = _best(facts, track.object_id, self._rules.match_iou)
                track = replace(
                    track,
                    absent_since=-1,
                    num_unmatched=track.num_unmatched + (index is None),
                    num_shared=track.num_shared + (index in taken),
                )
                taken |= set() if index is None else {index}
            self.tracks[place] = replace(track, num_sampled=track.num_sampled + 1)

    def _drop_held_back(self) -> None:
        """Within the hold-back a track is dropped that is unmatched, or shares its detections, too often."""
        rules, kept = self._rules, []
        for track in self.tracks:
            if not track.is_confirmed:
                span = min(rules.hold_back, (self._last_frame - track.start_frame) // rules.every + 1)
                most_unmatched, most_shared = (
                    -(-most * span // rules.hold_back) for most in (rules.max_unmatched, rules.max_shared)
                )
                if track.num_unmatched >= most_unmatched or track.num_shared >= most_shared:
                    self.dropped.append(track.object_id)
                    continue
                track = replace(track, is_confirmed=track.num_sampled >= span)
            kept.append(track)
        self.tracks = kept

    def _end_absent(self, facts: FrameFacts) -> None:
        if not self._rules.end_after:
            return
        for track in list(self.tracks):
            if 0 <= track.absent_since <= facts.frame_index - self._rules.end_after:
                self._end(track, facts.frame_index)

    def _end_merged(self, facts: FrameFacts) -> None:
        """Of two tracks on one object, end the one that was absent more recently; of equal ones, the younger."""
        places = {track.object_id: place for place, track in enumerate(self.tracks)}
        losers = set()
        for pair, iou in facts.track_iou.items():
            if iou >= self._rules.merge_iou and places.keys() >= set(pair):
                losers.add(max(pair, key=lambda name: (self.tracks[places[name]].last_absent, places[name])))
        for name in sorted(losers, key=lambda name: places[name]):
            track = self.tracks[places[name]]
            since = track.merged_since if track.num_merged else facts.frame_index
            self.tracks[places[name]] = replace(track, merged_since=since, num_merged=track.num_merged + 1)
        for name in places.keys() - losers:
            self.tracks[places[name]] = replace(self.tracks[places[name]], merged_since=-1, num_merged=0)
        for track in list(self.tracks):
            if track.num_merged >= self._rules.merge_frames:
                self._end(track, track.merged_since - 1)

    def _end(self, track: TrackMemory, last_frame: int) -> None:
        """End a track; one that is still held back, or would have no row, is dropped instead."""
        self.tracks.remove(track)
        if track.is_confirmed and last_frame >= track.start_frame:
            self.ended[track.object_id] = last_frame
        else:
            self.dropped.append(track.object_id)

    def _start(self, facts: FrameFacts) -> list[Start]:
        """New tracks for the detections of this frame that match none."""
        started = [
            Start(object_id=object_id_of(self.prefix, facts, index), detection=facts.detections[index])
            for index in self.unclaimed(facts)
        ]
        span_of_one = facts.frame_index + self._rules.every > self._last_frame
        self.tracks += [
            TrackMemory(
                object_id=one.object_id,
                start_frame=facts.frame_index,
                last_prompt=facts.frame_index,
                is_confirmed=span_of_one or self._rules.hold_back == 1,
            )
            for one in started
        ]
        return started

    def unclaimed(self, facts: FrameFacts) -> list[int]:
        """The detections, good enough to start a track, that overlap no track."""
        rules = self._rules
        names = [track.object_id for track in self.tracks]
        found = []
        for index, detection in enumerate(facts.detections):
            most = rules.new_track_box_iou if detection.mask is None else rules.new_track_iou
            overlap = max((facts.match_iou.get((name, index), 0.0) for name in names), default=0.0)
            if detection.score >= rules.new_track_score and overlap < most:
                found.append(index)
        return found


def _best(facts: FrameFacts, object_id: str, least_iou: float) -> int | None:
    """The detection that overlaps a track most, if it is this much; of equal ones the better detection."""
    overlaps = [(facts.match_iou.get((object_id, index), 0.0), -index) for index in range(len(facts.detections))]
    iou, negative = max(overlaps, default=(0.0, 0))
    return -negative if overlaps and iou >= least_iou and iou > 0 else None


def _with_likely(
    missing: Sequence[Start], window: _Window, later: Sequence[FrameFacts], known: Collection[str]
) -> list[Start]:
    """Besides the missing tracks, those that will probably be missing next, so that they are propagated together.

    These are detections of later frames that overlap neither a track nor an earlier detection of this kind. A wrong
    guess costs time; it changes no decision.
    """
    likely = list(missing)
    boxes = [one.detection.box_xyxy for one in missing]
    for facts in later:
        found = window.unclaimed(facts)
        for index in found:
            object_id, box = object_id_of(window.prefix, facts, index), facts.detections[index].box_xyxy
            if object_id not in known and not any(_overlap(box, other) for other in boxes):
                likely.append(Start(object_id=object_id, detection=facts.detections[index]))
        boxes += [facts.detections[index].box_xyxy for index in found]
    return likely


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(one[3], other[3])
