"""SAM 3's memory selection, against its rules stated over the whole, unbounded history of a track."""

import math
from dataclasses import dataclass

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samurai_batch.tracking.memory_bank import MemoryBank, TrackedFrame
from samurai_batch.tracking.trackers.memory_selection import FramesByScore

NOTHING = torch.zeros(0)


@dataclass(frozen=True)
class Past:
    mask_score: float
    object_score: float
    is_conditioning: bool = False

    @property
    def score(self) -> float:
        return max(2 / (1 + math.exp(-self.object_score)) - 1, 0) * self.mask_score


def naive_list(history: list[Past]) -> list[int]:
    """The frames that frame t = len(history) remembers beside conditioning ones, oldest first."""
    t, kept = len(history), list[int]()
    for age in range(t - 1, 0, -1):
        if not history[age].is_conditioning and history[age].score > 0.01:
            kept.insert(0, age)
        if len(kept) == 15:
            break
    if t - 1 not in kept and not history[t - 1].is_conditioning:
        kept.append(t - 1)
    return kept


pasts = st.builds(
    Past,
    mask_score=st.sampled_from([0.0, 0.02, 0.5, 0.9]),
    object_score=st.sampled_from([-3.0, 0.0, 0.02, 5.0]),
    is_conditioning=st.sampled_from([False] * 9 + [True]),
)


@settings(max_examples=200, deadline=None)
@given(history=st.lists(pasts, max_size=60), limit=st.integers(1, 4))
def test_the_bank_selects_what_the_whole_history_would(history: list[Past], limit: int) -> None:
    rules, bank, whole = FramesByScore(limit, 0.01), MemoryBank(), [Past(1.0, 10.0, True), *history]
    for age, past in enumerate(whole):
        scores = (past.mask_score, past.object_score)
        rules.remember(bank, TrackedFrame(age, NOTHING, NOTHING, *scores, is_prompted=past.is_conditioning))
        selection, t = rules.select(bank, age + 1, 100), age + 1
        kept = naive_list(whole[:t])
        conditioning = [one for one in range(t) if whole[one].is_conditioning][-limit:]
        assert [m.age for m in selection.memories] == [*conditioning, *kept[-6:]]
        assert selection.ranks == (*(6 for _ in conditioning), *reversed(range(len(kept[-6:]))))
        assert [p.age for p in selection.pointers] == [*conditioning, *reversed(kept[1:])]
        distances = [*(t - one for one in conditioning), *range(1, len(kept))]
        assert selection.pointer_times == tuple(one / 15 for one in distances)
        assert len(bank.recent) <= 7
        assert len(bank.recent_pointers) <= 16
