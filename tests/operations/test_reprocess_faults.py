"""Reprocessing after kills, and over tables that were damaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from samurai_batch import storage
from samurai_batch.job import JobConfig
from samurai_batch.masks import mask_table_uri, read_masks
from samurai_batch.operations import reprocess as operation
from samurai_batch.operations.reprocess import Choice, reprocess
from tests.operations.test_reprocess import NUM_FRAMES, Archive, boxed
from tests.runtime.fakes import NoProgress

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


class Crash(BaseException):
    """The process dies; nothing catches this."""


def run_until_change(job: JobConfig, crash_at: int) -> bool:
    """Reprocess, dying before the n-th change that pruning makes; whether it died."""
    left = [crash_at]

    def dying(change: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            if is_pruning:
                left[0] -= 1
                if left[0] == 0:
                    raise Crash
            change(*arguments)

        return call

    is_pruning: list[bool] = []
    prune = operation._prune

    def pruning(*arguments: Any) -> None:
        is_pruning.append(True)
        prune(*arguments)
        is_pruning.clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operation, "_prune", pruning)
        patch.setattr(operation, "NUM_TRANSFERS", 1)
        for name in ("write_bytes", "delete"):
            patch.setattr(storage, name, dying(getattr(storage, name)))
        try:
            reprocess(job, Choice(prune=True), progress=NoProgress())
        except Crash:
            return True
    return False


def test_pruning_that_was_killed_anywhere_is_finished_by_the_next_run(archive: Archive) -> None:
    a, b = (archive.add_video(name, day=1) for name in "ab")
    for crash_at in range(1, 100):
        archive.write_prompts(boxed(a), boxed(a, "two", 20), boxed(b))
        reprocess(archive.job(), progress=NoProgress())
        archive.write_prompts(boxed(a))
        has_died = run_until_change(archive.job(), crash_at)
        reprocess(archive.job(), Choice(prune=True), progress=NoProgress())
        rows = read_masks(archive.output)
        assert set(rows["video_id"] + rows["object_id"]) == {"aone"}, crash_at
        left = {path.relative_to(archive.output).as_posix() for path in Path(archive.output).rglob("*two*")}
        assert not left, crash_at
        if not has_died:
            assert crash_at > 3
            return


@pytest.mark.parametrize("damage", ["empty", "rewritten by other software"])
def test_a_table_that_belongs_to_no_run_is_replaced(
    damage: str, archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    video = archive.add_video("a", day=1)
    archive.write_prompts(boxed(video))
    reprocess(archive.job(), progress=NoProgress())
    table = Path(mask_table_uri(archive.output, "a", "one"))
    if damage == "empty":
        table.write_bytes(b"")
    else:
        pd.read_parquet(table)[["video_id", "frame_index"]].to_parquet(table)
    archive.write_prompts(boxed(video, left=9.0))
    done = reprocess(archive.job(), progress=NoProgress())
    assert done.summary.totals.tracks_done == 1
    assert f"{table} is damaged, or not as a run has written it" in caplog.text
    assert len(read_masks(archive.output)) == NUM_FRAMES
