"""In which order a run changes its output, and what it sends to replicas and gets back."""

import json
import pickle
import pickletools
from pathlib import Path
from typing import Any, get_args

import pytest

from samurai_batch import storage
from samurai_batch.ledger.status import exit_code
from samurai_batch.planning.orders import Order
from samurai_batch.prompts import BoxPrompt, EverythingPrompt, FromVideoPrompt, MaskPrompt
from samurai_batch.runtime.pool import Answered, PoolEvent
from samurai_batch.tasks import Track
from tests.runtime.discovery_world import mask_of_box
from tests.runtime.fakes import FakeTracker, InlinePool, box_track, make_replica, run_tracks, write_video
from tests.runtime.ray_driver import discovery_in
from tests.runtime.ray_worker import mask_of

BYTES = {"BINBYTES", "BINBYTES8", "SHORT_BINBYTES", "BYTEARRAY8", "NEXT_BUFFER"}


class RecordingStore:
    """Storage that keeps every change, in order: what was done, the URI below the output, and what was written."""

    def __init__(self, output: Path) -> None:
        self._output = f"{output}/"
        self.changes: list[tuple[str, str, bytes]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(storage, name)

    def write_bytes(self, uri: str, data: bytes) -> None:
        storage.write_bytes(uri, data)
        self.changes.append(("write", uri.removeprefix(self._output), data))

    def delete(self, uri: str) -> None:
        storage.delete(uri)
        self.changes.append(("delete", uri.removeprefix(self._output), b""))


class RecordingPool(InlinePool):
    """Pickles every order and every report, as they go to a process and come back."""

    def __init__(self, *replica: Any) -> None:
        super().__init__(*replica)
        self.orders: list[Order] = []
        self.pickles: list[bytes] = []

    def submit(self, replica_id: str, order: Order) -> None:
        self.orders.append(order)
        self.pickles.append(pickle.dumps(order))
        super().submit(replica_id, order)

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        events = super().wait(timeout_s)
        self.pickles += [pickle.dumps(event.report) for event in events if isinstance(event, Answered)]
        return events


class Run:
    """A run of every kind of prompt: its changes of the output, its orders, and the pickles of these and of reports."""

    def __init__(self, folder: Path) -> None:
        (folder / "videos").mkdir()
        found, detections = discovery_in(folder / "videos")
        write_video(folder / "videos", "a", 60)
        video, other = write_video(folder / "videos", "b", 45), write_video(folder / "videos", "c", 25)
        mask = mask_of_box((4.0, 4.0, 20.0, 20.0))
        assert mask is not None
        tracks = [
            *found,
            box_track(video, "box", 20, "both"),
            Track(video=video, object_id="mask", prompts=(MaskPrompt(0, mask), BoxPrompt(12, (4.0, 4.0, 9.0, 9.0)))),
            Track(video=video, object_id="all", prompts=(EverythingPrompt(3),)),
            Track(video=other, object_id="carried", prompts=(FromVideoPrompt(0, "b", "box"),)),
        ]
        store, tracker = RecordingStore(folder / "out"), FakeTracker(mask_of=mask_of)
        pool = RecordingPool(make_replica(str(folder / "out"), tracker, store))
        summary = run_tracks(
            tracks,
            folder / "out",
            detections=detections,
            store=store,
            make_pool=lambda: pool,
            num_transfers=1,
        )
        assert exit_code(summary) == 0
        self.changes, self.orders, self.pickles = store.changes, pool.orders, pool.pickles
        self.written = [uri for what, uri, _ in self.changes if what == "write"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("run"))


def fingerprints_in(ledger: bytes) -> set[str]:
    return {str(entry["fingerprint"]) for entry in json.loads(ledger)["tracks"].values()}


def is_ledger_of_a_video(uri: str) -> bool:
    return uri.startswith("_ledger/") and uri.count("/") == 1


def test_the_rows_of_a_chunk_are_written_before_its_state(run: Run) -> None:
    states = [uri for uri in run.written if uri.startswith("_work/") and uri.endswith(".state")]
    assert len(states) > 30
    for state in states:
        rows = state.removesuffix(".state") + ".parquet"
        assert run.written.index(rows) < run.written.index(state)


def test_saved_work_is_removed_once_the_ledger_has_its_track(run: Run) -> None:
    finished, num_removed = set[str](), 0
    for what, uri, data in run.changes:
        if what == "write" and is_ledger_of_a_video(uri):
            finished |= fingerprints_in(data)
        elif what == "delete" and uri.startswith("_work/") and uri.count("/") == 1:
            assert uri.removeprefix("_work/") in finished
            num_removed += 1
    assert num_removed == len(finished) == 10


def test_a_table_is_published_by_one_write_after_the_memories_that_other_videos_take_from_it(run: Run) -> None:
    tables = [uri for uri in run.written if uri.startswith("masks/")]
    assert len(set(tables)) == len(tables) == 8
    (memories,) = (uri for uri in run.written if uri.startswith("_states/b/box/"))
    assert run.written.index(memories) < run.written.index("masks/b/box.parquet")


def test_a_window_is_decided_by_one_write_before_anything_of_the_next_is_tracked(run: Run) -> None:
    decisions = [uri for uri in run.written if uri.startswith("_ledger/discovery/")]
    assert [uri.rpartition("/")[2] for uri in decisions] == [f"{window}.json" for window in range(6)]
    *_, last_ledger = (data for _, uri, data in run.changes if uri == "_ledger/a.json")
    for window, decision in enumerate(decisions[:-1]):
        next_rows = {f"_work/{one}/forward-10x{window + 1}.parquet" for one in fingerprints_in(last_ledger)}
        found = [place for place, uri in enumerate(run.written) if uri in next_rows]
        assert found
        assert run.written.index(decision) < found[0]


def test_orders_and_reports_are_small_and_hold_no_frame_mask_or_state(run: Run) -> None:
    """These are bytes or arrays, whose pickles hold bytes. The mask of a prompt is text, and comes from its table."""
    assert {type(order) for order in run.orders} == set(get_args(Order))
    operations = {operation.name for data in run.pickles for operation, _, _ in pickletools.genops(data)}
    assert "BINUNICODE" in operations or "SHORT_BINUNICODE" in operations
    assert not operations & BYTES
    assert max(map(len, run.pickles)) < 4096
