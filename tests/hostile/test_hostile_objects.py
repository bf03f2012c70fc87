"""What stands in an output may have been cut, swapped, rewritten or forged: it is refused, or computed again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samurai_batch import storage
from samurai_batch.errors import LedgerError, OutputLockedError
from samurai_batch.ledger.lease import Lease, SystemClock, lease_uri, this_process
from samurai_batch.ledger.schema import VideoLedger
from samurai_batch.ledger.store import read_run, read_video_ledger, run_uri, video_ledger_uri, write_video_ledger
from samurai_batch.masks import read_masks
from samurai_batch.planning.fingerprints import VideoIdentity
from samurai_batch.planning.validation import VideoFacts
from samurai_batch.tasks import Track
from tests.hostile.test_hostile_jobs import files_below
from tests.runtime.fakes import FakeTracker, box_track, run_tracks, write_video

RUN = "20260101T000000.000Z-00000000"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(["video_id", "video_uri", "identity", "facts", "cut", "tracks", "version", "more"])


def a_ledger() -> dict[str, Any]:
    ledger = VideoLedger(
        video_id="v", video_uri="v.mp4", identity=VideoIdentity("v.mp4", 1, "1"), facts=VideoFacts(10, 48, 64)
    )
    return json.loads(json.dumps(ledger, default=vars))  # type: ignore[no-any-return]


def ledger_of(folder: Path, data: bytes) -> VideoLedger | None:
    storage.write_bytes(video_ledger_uri(str(folder), "v"), data)
    return read_video_ledger(storage, str(folder), "v")


DEEP = b"[" * 100_000
quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@quick
@given(st.binary(max_size=80) | json_values.map(lambda value: json.dumps(value).encode()) | st.just(DEEP))
def test_bytes_that_are_no_ledger_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(LedgerError):
        ledger_of(tmp_path, data)


@quick
@given(fields, json_values)
def test_a_forged_field_is_refused_or_of_the_right_type(tmp_path: Path, name: str, value: object) -> None:
    try:
        ledger = ledger_of(tmp_path, json.dumps(a_ledger() | {name: value}).encode())
    except LedgerError:
        return
    assert ledger is not None
    assert ledger.video_id == "v"
    assert ledger.facts is None or ledger.facts.num_frames >= 1


@given(st.data())
@quick
def test_a_ledger_cut_short_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = json.dumps(a_ledger()).encode()
    with pytest.raises(LedgerError):
        ledger_of(tmp_path, whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_a_ledger_under_another_videos_name_is_refused(tmp_path: Path) -> None:
    write_video_ledger(storage, str(tmp_path), VideoLedger(video_id="v", video_uri="v.mp4"))
    shutil.copy(tmp_path / "_ledger/v.json", tmp_path / "_ledger/w.json")
    with pytest.raises(LedgerError, match=r"w\.json: this is the ledger of video 'v'"):
        read_video_ledger(storage, str(tmp_path), "w")


OUTSIDE = b'{"run_id": "../../../etc/passwd"}'


@pytest.mark.parametrize("data", [b"", b"{}", b'{"run_id": ["x"]}', b"\xff", DEEP, OUTSIDE])
def test_a_forged_lease_or_run_record_is_refused_or_names_no_holder(tmp_path: Path, data: bytes) -> None:
    storage.write_bytes(f"{lease_uri(str(tmp_path))}/000000000001.json", data)
    storage.write_bytes(run_uri(str(tmp_path), RUN), data)
    with pytest.raises(LedgerError):
        read_run(storage, str(tmp_path), RUN)
    lease = Lease(storage, str(tmp_path), SystemClock(), stale_after_s=60.0, sleep=lambda seconds: None)
    try:
        lease.acquire(RUN, this_process(), {}, {})
    except (LedgerError, OutputLockedError):
        return
    lease.release("finished")


# -- saved work


def stopped(folder: Path) -> tuple[list[Track], Path]:
    """A job stopped in the middle, and what it would have come to."""
    video = write_video(folder, "v", 45)
    tracks = [box_track(video, name, direction="both", frame=20) for name in "xy"]
    run_tracks(tracks, folder / "undisturbed")
    tracker = FakeTracker()
    run_tracks(tracks, folder / "out", tracker, should_stop=lambda: len(tracker.calls) >= 3)
    return tracks, folder / "out" / "_work"


def swap(first: Path, second: Path) -> None:
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def cut_parts(work: Path) -> None:
    for path in work.rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-9])


def swap_tracks(work: Path) -> None:
    first, second = sorted(work.iterdir())
    for path in first.glob("*.parquet"):
        swap(path, second / path.name)


def swap_chunks(work: Path) -> None:
    for folder in work.iterdir():
        parts = sorted(folder.glob("*.parquet"))
        if len(parts) > 1:
            swap(parts[0], parts[1])


def other_columns(work: Path) -> None:
    for path in work.rglob("*.parquet"):
        pd.DataFrame({"frame_index": [1, 2]}).to_parquet(path)


def strangers(work: Path) -> None:
    (work / "not a fingerprint").mkdir()
    (work / "not a fingerprint" / "forward-10x0.parquet").write_bytes(b"junk")
    for folder in list(work.iterdir()):
        (folder / "forward-10x99999999999999999999.state").write_bytes(b"")
        (folder / "..x").write_bytes(b"")


def test_a_symbolic_link_among_saved_work_is_not_resolved(tmp_path: Path) -> None:
    tracks, work = stopped(tmp_path)
    (work / "a link").symlink_to(tmp_path / "undisturbed")
    before = files_below(tmp_path / "undisturbed")
    assert run_tracks(tracks, tmp_path / "out").problems == ()
    assert files_below(tmp_path / "undisturbed") == before
    assert not work.exists()


@pytest.mark.parametrize("tamper", [cut_parts, swap_tracks, swap_chunks, other_columns, strangers])
def test_saved_work_that_was_tampered_with_changes_no_row(tmp_path: Path, tamper: Any) -> None:
    tracks, work = stopped(tmp_path)
    tamper(work)
    summary = run_tracks(tracks, tmp_path / "out")
    assert summary.problems == ()
    pd.testing.assert_frame_equal(read_masks(str(tmp_path / "out")), read_masks(str(tmp_path / "undisturbed")))
    assert (tmp_path / "v.json").exists()
