"""Files put in place at once on local disks: without hard links, killed on the way, and what is left of that."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from samurai_batch import read_masks, storage
from samurai_batch.errors import StorageError, StoreError
from samurai_batch.masks import mask_table_uri
from samurai_batch.masks.table import table_to_bytes
from samurai_batch.runtime.run import run_job
from samurai_batch.tasks import Video
from tests.runtime.fakes import NoProgress, box_track
from tests.runtime.test_jobs import make_config

NO_LINKS = {"EPERM": errno.EPERM, "ENOSYS": errno.ENOSYS, "ENOTSUP": errno.ENOTSUP}


@pytest.mark.parametrize("name", ["clip.mp4/table", "clip.mp4/folder/table"])
def test_a_file_where_a_folder_is_needed_is_named_as_wrong_usage(name: str, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"a video")
    for write in (storage.write_bytes, storage.create_bytes):
        with pytest.raises(StoreError, match=rf"^{tmp_path}/clip.mp4 is a file, and a folder is needed there; name"):
            write(str(tmp_path / name), b"")
    assert (tmp_path / "clip.mp4").read_bytes() == b"a video"


def create_many(uri: str) -> list[bool]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda number: storage.create_bytes(uri, f"{number}".encode()), range(16)))


@pytest.mark.parametrize("name", NO_LINKS)
def test_without_hard_links_only_one_writer_still_creates_a_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(NO_LINKS[name], os.strerror(NO_LINKS[name]))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert sum(create_many(str(tmp_path / "lease"))) == 1
    assert storage.create_bytes(str(tmp_path / "other"), b"x")
    assert storage.create_bytes(str(tmp_path / "other"), b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lease", "other"]


LIBRARY = """
#include <errno.h>
int link(const char *from, const char *to) { errno = CODE; return -1; }
int linkat(int from, const char *a, int to, const char *b, int flags) { errno = CODE; return -1; }
"""


@pytest.mark.parametrize("name", NO_LINKS)
def test_a_run_starts_on_a_mount_without_hard_links(name: str, tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a library that refuses hard links")
    (tmp_path / "links.c").write_text(LIBRARY.replace("CODE", name))
    command = [compiler, "-shared", "-fPIC", "-o", str(tmp_path / "links.so"), str(tmp_path / "links.c")]
    subprocess.run(command, check=True, timeout=600)
    code = (
        "import os, sys; from pathlib import Path; from samurai_batch import storage\n"
        "try: os.link(sys.executable, sys.argv[1] + '/link'); sys.exit('there are links')\n"
        "except OSError: pass\n"
        "print(storage.create_bytes(sys.argv[1] + '/a', b'1'), storage.create_bytes(sys.argv[1] + '/a', b'2'))"
    )
    environment = {**os.environ, "LD_PRELOAD": str(tmp_path / "links.so"), "PYTHONPATH": _root()}
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, timeout=600)
    assert run.stdout == b"True False\n", run.stderr


def _root() -> str:
    return str(Path(storage.__file__).parents[2])


# -- killed between writing and renaming

KILLED_WRITE = """
import os, signal, sys
from pathlib import Path
from samurai_batch import storage
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
storage.write_bytes(sys.argv[1], b"half a table")
"""


def finished_output(folder: Path) -> str:
    """An output with one table in it, and a ledger."""
    output = str(folder / "out")
    run_job(make_config(str(folder), "out"), tracks=[], progress=NoProgress())
    row = {"video_id": "v", "object_id": "1", "frame_index": 0, "timestamp_s": 0.0, "height": 2, "width": 2}
    scores = {"object_score": 1.0, "mask_score": 1.0, "mask_index": 0, "prompted": True}
    boxes = {"area": 1, "bbox_x": 0, "bbox_y": 0, "bbox_w": 1, "bbox_h": 1, "motion_score": None}
    rows = [{**row, **scores, **boxes, "segmentation": {"size": [2, 2], "counts": "013"}}]
    storage.write_bytes(mask_table_uri(output, "v", "1"), table_to_bytes(_table(rows), {}))
    return output


def _table(rows: list[dict[str, object]]) -> object:
    import pyarrow as pa

    from samurai_batch.masks.table import MASK_SCHEMA

    return pa.Table.from_pylist(rows, MASK_SCHEMA)


def test_temporary_files_of_a_killed_writer_disturb_no_reader_and_the_next_run_removes_them(tmp_path: Path) -> None:
    output = finished_output(tmp_path)
    command = [sys.executable, "-c", KILLED_WRITE, mask_table_uri(output, "v", "2")]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": _root()}, timeout=600)
    assert run.returncode == -signal.SIGKILL
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.read_bytes() == b"half a table"]
    assert len(left) == 1
    assert pl.scan_parquet(f"{output}/masks").collect().height == 1
    assert len(pd.read_parquet(f"{output}/masks")) == len(read_masks(output)) == 1
    run_job(make_config(str(tmp_path), "out"), tracks=[], progress=NoProgress())
    assert not left[0].exists()


def test_the_next_run_removes_temporary_files_that_earlier_versions_left_among_the_tables(tmp_path: Path) -> None:
    output = finished_output(tmp_path)
    old = tmp_path / "out/masks/v" / f"{storage.TEMPORARY_PREFIX}0123"
    old.write_bytes(b"half a table")
    run_job(make_config(str(tmp_path), "out"), tracks=[], progress=NoProgress())
    assert not old.exists()
    assert pl.scan_parquet(f"{output}/masks").collect().height == 1


def test_a_temporary_file_removed_during_a_write_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = finished_output(tmp_path)
    replace = Path.replace
    swept: list[Path] = []

    def swept_first(self: Path, target: Path) -> Path:
        if not swept:
            swept.append(self)
            storage.sweep_temporaries(output)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", swept_first)
    monkeypatch.setattr("samurai_batch.storage.retry.time.sleep", lambda seconds: None)
    storage.write_bytes(f"{output}/masks/v/3.parquet", b"whole")
    assert storage.read_bytes(f"{output}/masks/v/3.parquet") == b"whole"
    assert swept[0].parent.name == storage.TEMPORARIES_FOLDER


def test_a_folder_of_the_output_may_be_on_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = finished_output(tmp_path)
    replace = Path.replace

    def across(self: Path, target: Path) -> Path:
        if self.parent != target.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", across)
    storage.write_bytes(f"{output}/masks/v/3.parquet", b"whole")
    assert sorted(path.name for path in (tmp_path / "out/masks/v").iterdir()) == ["1.parquet", "3.parquet"]


def test_outside_of_outputs_temporary_files_are_in_the_same_folder(tmp_path: Path) -> None:
    storage.write_bytes(str(tmp_path / "a/b/c.csv"), b"x")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b", "c.csv"]


@pytest.mark.parametrize(
    ("target", "words"),
    [("nowhere", "is a link to a file that does not exist"), ("0002.png", "Too many levels of symbolic links")],
)
def test_a_frame_that_is_a_broken_link_fails_its_video_and_is_named(target: str, words: str, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "0001.png").write_bytes(b"x")
    (frames / "0002.png").symlink_to(frames / target)
    track = box_track(Video("a", str(frames)), "x")
    summary = run_job(make_config(str(tmp_path), "out"), tracks=[track], progress=NoProgress())
    [problem] = summary.problems
    assert "0002.png" in problem.error
    assert words in problem.error


def test_a_writer_that_is_killed_as_it_takes_a_lease_leaves_no_litter(tmp_path: Path) -> None:
    (tmp_path / "_ledger" / "lease").mkdir(parents=True)
    uri = str(tmp_path / "_ledger" / "lease" / "000000000001.json")
    code = (
        "import os, signal; from pathlib import Path; from samurai_batch import storage;"
        "Path.hardlink_to = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        f"storage.create_bytes({uri!r}, b'x')"
    )
    killed = subprocess.run([sys.executable, "-c", code], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (tmp_path / "_ledger" / "lease" / ".tmp-of-an-earlier-version").touch()
    assert storage.create_bytes(uri, b"x")
    storage.sweep_temporaries(str(tmp_path))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["000000000001.json"]


def test_temporary_files_that_cannot_be_removed_stop_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("masks/a", "_ledger/lease"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / ".tmp-of-another-user").touch()

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    storage.sweep_temporaries(str(tmp_path))
    assert storage.list_names(str(tmp_path / "masks" / "a")) == []


def test_a_disk_that_is_full_as_a_lease_is_written_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hard links; an empty lease would keep later runs out."""

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: path.touch())  # its temporary file had room
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(StorageError, match="no space is left"):
            storage.create_bytes(str(tmp_path / "lease"), b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not any(tmp_path.iterdir())


def test_a_temporary_file_that_another_run_sweeps_as_a_lease_is_taken_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_ledger").mkdir()
    link, is_first = Path.hardlink_to, [True]

    def sweep_first(self: Path, target: Path) -> None:
        if is_first.pop() if is_first else False:
            storage.sweep_temporaries(str(tmp_path))
        link(self, target)

    monkeypatch.setattr(Path, "hardlink_to", sweep_first)
    assert storage.create_bytes(str(tmp_path / "_ledger" / "lease" / "1.json"), b"x")


def test_a_folder_of_which_others_delete_files_meanwhile_is_deleted_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        storage.write_bytes(str(tmp_path / "work" / str(number)), b"x")
    remove, others = shutil.rmtree, iter([tmp_path / "work" / "3", tmp_path / "work" / "7"])
    scandir = os.scandir

    def scandir_of_then(path: object) -> object:
        """The listing of a moment before."""
        listing = scandir(path)  # type: ignore[call-overload]
        entries = list(listing)
        listing.close()
        if gone := next(others, None):
            gone.unlink()
        return nullcontext(iter(entries))

    def rmtree(path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "scandir", scandir_of_then)
            remove(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    storage.delete(str(tmp_path / "work"))
    assert not any(tmp_path.iterdir())
    storage.delete(str(tmp_path / "work"))
