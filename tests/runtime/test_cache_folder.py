"""Where copies of remote videos lie, and that local videos need no such place."""

from pathlib import Path

import pytest
from PIL import Image

from samurai_batch import storage
from samurai_batch.errors import StorageError
from samurai_batch.job import JobConfig, make_job
from samurai_batch.runtime.assembly import cache_folder, video_opener


def job(**changes: object) -> JobConfig:
    return make_job({"prompts": "p.csv", "output": "out", "model": "nano", **changes})


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user that the system knows nothing of, as in a container with ``--user 12345``."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def write_picture(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (32, 24)).save(folder / "0.png")
    return folder


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_folder_opens_local_videos(tmp_path: Path) -> None:
    opened = video_opener(job(), ahead=False)(str(write_picture(tmp_path / "frames")))
    assert opened.info.num_frames == 1
    opened.close()


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_folder_is_told_of_cache_dir_for_remote_videos(tmp_path: Path) -> None:
    storage.write_bytes("memory://cache/frame.png", (write_picture(tmp_path) / "0.png").read_bytes())
    with pytest.raises(StorageError, match="set cache_dir to one you may write to"):
        video_opener(job(), ahead=False)("memory://cache/frame.png")
    opened = video_opener(job(cache_dir=str(tmp_path / "cache")), ahead=False)("memory://cache/frame.png")
    assert (opened.info.height, opened.info.width) == (24, 32)
    opened.close()


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"file/cache.*set cache_dir"):
        video_opener(job(cache_dir=str(tmp_path / "file" / "cache")), ahead=False)("memory://cache/frame.png")


def test_copies_lie_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(job()) == tmp_path / "samurai_batch" / "videos"
