"""DAM4SAM's memory, against its rules stated over the whole, unbounded history of a track."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.errors import StateError
from samurai_batch.tracking.candidate_masks import CandidateMasks, Extent
from samurai_batch.tracking.mask_choice import Choice, Motion
from samurai_batch.tracking.memory_bank import MemoryBank, TrackedFrame
from samurai_batch.tracking.proposals import Facts
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.track_state import TrackState
from samurai_batch.tracking.trackers.dam4sam import AnchorNote, AnchorsAndStrides, DistractorPromotion

NOTHING = torch.zeros(0)


@dataclass(frozen=True)
class Past:
    is_visible: bool
    is_promoted: bool


def naive_memories(history: Sequence[Past]) -> tuple[set[tuple[int, int]], set[int]]:
    """The rules word by word: (frame, row) of the memories, and the pointers, that frame t = len(history) reads."""
    t = len(history)
    promoted = [f for f in range(1, t) if history[f].is_promoted]
    anchors = [0, *[f for f in promoted if f < t - 1][-3:]]
    num_slots, slots = 7 - len(anchors), list[int]()
    place = t - 1
    if place >= 1 and not history[place].is_visible:
        while place >= 1 and not (history[place].is_visible and place not in promoted):
            place -= 1
    if place >= 1:
        slots.append(place)
    while slots and len(slots) < num_slots:
        place = 5 * ((slots[-1] - 1) // 5)
        while place > 0 and (not history[place].is_visible or place in promoted):
            place -= 5
        if place <= 0:
            break
        slots.append(place)
    pointers = {f for f in range(max(1, t - 15), t) if history[f].is_visible} | set(anchors)
    return {*((f, 6) for f in anchors), *zip(slots, range(7), strict=False)}, pointers


pasts = st.tuples(st.sampled_from([True, True, False]), st.sampled_from([False] * 4 + [True])).map(
    lambda pair: Past(pair[0], pair[0] and pair[1])
)


@settings(max_examples=200, deadline=None)
@given(history=st.lists(pasts, min_size=1, max_size=80))
def test_the_bank_selects_what_the_whole_history_would(history: list[Past]) -> None:
    rules, bank, whole = AnchorsAndStrides(4), MemoryBank(), [Past(True, False), *history]
    for age, past in enumerate(whole):
        frame = TrackedFrame(age, NOTHING, NOTHING, 1.0, 1.0, None, past.is_visible, age == 0, past.is_promoted)
        rules.remember(bank, frame)
        selection = rules.select(bank, age + 1, 10**6)
        memories, pointers = naive_memories(whole[: age + 1])
        assert set(zip((m.age for m in selection.memories), selection.ranks, strict=True)) == memories
        assert len(selection.memories) == len(memories)
        assert sorted(p.age for p in selection.pointers) == sorted(pointers)
        assert selection.pointer_times == tuple(
            (age + 1 - pointer.age) / (min(age + 2, 16) - 1) for pointer in selection.pointers
        )
        assert len(bank.conditioning) <= 5
        assert len(bank.recent) <= 6
        assert len(bank.recent_pointers) <= 15


@pytest.mark.parametrize("num_frames", [5, 50, 5000])
def test_nothing_depends_on_the_length_of_the_video(num_frames: int) -> None:
    rules, bank = AnchorsAndStrides(4), MemoryBank()
    for age in range(9):
        rules.remember(bank, TrackedFrame(age, NOTHING, NOTHING, 1.0, 1.0, None, True, age == 0))
    assert rules.select(bank, 9, num_frames) == rules.select(bank, 9, 9)


def test_of_many_prompted_frames_the_newest_are_read_and_slots_remain() -> None:
    rules, bank = AnchorsAndStrides(4), MemoryBank()
    for age in range(30):
        rules.remember(bank, TrackedFrame(age, NOTHING, NOTHING, 1.0, 1.0, None, True, is_prompted=age % 4 == 0))
    selection = rules.select(bank, 30, 30)
    assert [m.age for m, rank in zip(selection.memories, selection.ranks, strict=True) if rank == 6] == [16, 20, 24, 28]
    assert len(selection.memories) == 7


def facts_of(areas: Sequence[int], iou: float = 0.9, has_distractor: bool = True) -> Facts:
    """Three candidates; the second one's box is far larger than that of the first if there is a distractor."""
    logits = torch.full((3, 32, 32), -5.0)
    logits[0, 4:10, 4:10] = 5.0
    if has_distractor:
        logits[1, 20:30, 20:30] = 5.0
    masks = CandidateMasks(lambda: logits, 32, 32)
    masks._extents[0] = replace(masks.extent(0), area_px=areas[0])
    return Facts((iou, 0.2, 0.1), 5.0, (), masks)


def promoted_ages(areas: Sequence[int], **changes: object) -> list[int]:
    """The ages at which frames with these areas, from age 1 on, are promoted."""
    rule, state = DistractorPromotion(TrackerSettings(mode="dam4sam")), TrackState(num_frames=100, age=1)
    ages = []
    for area in areas:
        if rule.promotes(state, facts_of([area], **changes), Choice(0, None, Motion())):  # type: ignore[arg-type]
            ages.append(state.age)
        state.age += 1
    return ages


def test_anchors_keep_their_distance_and_the_first_frame_is_none() -> None:
    assert promoted_ages([50] * 20) == [2, 8, 14, 20]


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ([50, 0, 50], [3]),  # an empty mask is never an anchor
        ([50, 50 * 2, 50], [3]),  # above 1.2 of the median, which is 75
        ([50, 50, 50, *[90] * 4], [2]),
        ([50, 39, 50], [2]),  # 39 / 44.5 is within
    ],
)
def test_an_anchor_has_the_usual_area(areas: list[int], expected: list[int]) -> None:
    assert promoted_ages(areas) == expected


def test_an_anchor_has_a_reliable_mask_and_a_distractor() -> None:
    assert promoted_ages([50] * 5, iou=0.8) == []
    assert promoted_ages([50] * 5, has_distractor=False) == []


def test_only_the_last_three_hundred_areas_are_known() -> None:
    rule, state = DistractorPromotion(TrackerSettings(mode="dam4sam")), TrackState(num_frames=999, age=1)
    for _ in range(400):
        rule.promotes(state, facts_of([7]), Choice(0, None, Motion()))
        state.age += 1
    assert state.note(AnchorNote).areas_px == (7,) * 300


def test_a_note_survives_its_bytes_and_wrong_values_are_refused() -> None:
    state = TrackState(num_frames=9)
    state.keep(AnchorNote(areas_px=(3, 4), last_promoted=2))
    again = TrackState.from_bytes(state.to_bytes())
    assert again.note(AnchorNote) == AnchorNote(areas_px=(3, 4), last_promoted=2)
    assert again.to_bytes() == state.to_bytes()
    again.notes["dam4sam"] = {"areas_px": "many"}
    with pytest.raises(StateError, match="the values of 'dam4sam' in a saved track state cannot be used"):
        again.note(AnchorNote)


def test_an_extent_of_zero_is_not_a_distractor() -> None:
    masks = CandidateMasks(lambda: torch.full((3, 8, 8), -1.0), 8, 8)
    assert masks.extent(2) == Extent(False, 0, (0.0, 0.0, 0.0, 0.0))
