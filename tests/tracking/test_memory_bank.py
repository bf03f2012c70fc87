"""The bounded memory bank, against the rules stated over the whole, unbounded history of a track."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.tracking.memory_bank import MemoryBank, MemoryRules, TrackedFrame
from samurai_batch.tracking.settings import TrackerSettings
from samurai_batch.tracking.trackers import TRACKERS, Mode
from samurai_batch.tracking.trackers.samurai import is_trusted


def memory_rules(mode: Mode, **settings: int) -> MemoryRules:
    return TRACKERS[mode].combine(TrackerSettings(mode=mode, **settings)).memory  # type: ignore[arg-type]


SAMURAI, SAM2 = memory_rules("samurai"), memory_rules("sam2")
NOTHING = torch.zeros(0)
Seen = list[tuple[int, int]]  # (age, rank)


@dataclass(frozen=True)
class Past:
    """One frame of a history: its three scores, and whether it carried a prompt."""

    mask_score: float
    object_score: float
    motion_score: float | None
    is_conditioning: bool

    @property
    def is_valid(self) -> bool:
        return (
            self.mask_score > 0.5 and self.object_score > 0.0 and (self.motion_score is None or self.motion_score > 0)
        )


def naive_memories(history: list[Past], mode: str, limit: int) -> Seen:
    """tracker.md, word by word: what frame t = len(history) looks at, given every frame before it."""
    t = len(history)
    conditioning = [age for age in range(t) if history[age].is_conditioning][-limit:]
    seen = [(age, 6) for age in conditioning]
    if mode == "sam2":
        recent = [age for age in range(max(0, t - 6), t) if not history[age].is_conditioning]
        return seen + [(age, t - age - 1) for age in recent]
    valid: list[int] = []
    for age in range(t - 1, 1, -1):  # from t - 1 down to 2
        if len(valid) == 15:
            break
        if not history[age].is_conditioning and history[age].is_valid:
            valid.insert(0, age)
    if t - 1 not in valid and not history[t - 1].is_conditioning:
        valid.append(t - 1)
    newest = valid[-6:]
    return seen + [(age, len(newest) - 1 - place) for place, age in enumerate(newest)]


def naive_pointers(history: list[Past], limit: int) -> list[int]:
    t = len(history)
    conditioning = [age for age in range(t) if history[age].is_conditioning][-limit:]
    return conditioning + [age for age in range(t - 1, max(-1, t - 16), -1) if not history[age].is_conditioning]


pasts = st.builds(
    Past,
    mask_score=st.sampled_from([0.2, 0.5, 0.51, 0.9]),
    object_score=st.sampled_from([-3.0, 0.0, 0.1, 5.0]),
    motion_score=st.sampled_from([None, None, 0.0, 0.3]),
    is_conditioning=st.sampled_from([False] * 7 + [True]),
)
mostly_bad = st.builds(Past, st.just(0.2), st.just(-1.0), st.none(), st.sampled_from([False] * 9 + [True]))
histories = st.lists(st.one_of(pasts, mostly_bad), min_size=1, max_size=60)


@pytest.mark.parametrize("mode", ["samurai", "sam2"])
@settings(max_examples=150, deadline=None)
@given(history=histories, limit=st.integers(1, 8))
def test_the_bank_selects_what_the_whole_history_would(mode: Mode, history: list[Past], limit: int) -> None:
    rules = memory_rules(mode, max_cond_frames_in_attn=limit)
    first = Past(1.0, 10.0, None, is_conditioning=True)
    history = [first, *history]
    bank = MemoryBank()
    for age, past in enumerate(history):
        scores = (past.mask_score, past.object_score, past.motion_score)
        rules.remember(bank, TrackedFrame(age, NOTHING, NOTHING, *scores, is_prompted=past.is_conditioning))

        selection = rules.select(bank, age + 1, 100)
        seen = [(memory.age, rank) for memory, rank in zip(selection.memories, selection.ranks, strict=True)]
        assert seen == naive_memories(history[: age + 1], mode, limit)
        assert [pointer.age for pointer in selection.pointers] == naive_pointers(history[: age + 1], limit)
        assert selection.shape == (len(seen), len(selection.pointers), 0)
        assert selection.pointer_times == tuple((age + 1 - pointer.age) / 15 for pointer in selection.pointers)

        assert len(bank.conditioning) == len(bank.conditioning_pointers) <= limit
        assert len(bank.recent) <= 7
        assert len(bank.recent_pointers) <= 15


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.51, 0.1, None), True),
        ((0.51, 0.1, 0.01), True),
        ((0.5, 0.1, None), False),
        ((0.51, 0.0, None), False),
        ((0.51, 0.1, 0.0), False),
    ],
)
def test_each_of_the_three_scores_must_exceed_its_threshold(
    scores: tuple[float, float, float | None], expected: bool
) -> None:
    assert is_trusted(*scores, TrackerSettings()) is expected


def remember(rules: MemoryRules, bank: MemoryBank, age: int, mask_score: float = 0.9) -> None:
    rules.remember(bank, TrackedFrame(age, NOTHING, NOTHING, mask_score, object_score=5.0, is_prompted=age == 0))


def test_the_frame_after_the_first_is_seen_once_and_then_forgotten() -> None:
    bank = MemoryBank()
    remember(SAMURAI, bank, 0)
    seen = []
    for age in range(1, 4):
        remember(SAMURAI, bank, age)
        seen.append([memory.age for memory in SAMURAI.select(bank, age + 1, 100).memories])
    assert seen == [[0, 1], [0, 2], [0, 2, 3]]


def test_samurai_ranks_by_order_and_sam2_by_age() -> None:
    for rules, expected in ((SAMURAI, (6, 1, 0)), (SAM2, (6, 3, 0))):
        bank = MemoryBank()
        for age in range(6):
            if rules is SAMURAI or age in (0, 2, 5):
                remember(rules, bank, age, mask_score=0.9 if age in (2, 5) else 0.1)
        assert rules.select(bank, 6, 100).ranks == expected
