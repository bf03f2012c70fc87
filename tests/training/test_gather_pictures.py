"""The job that gathers pictures, on tiny pictures made here."""

import importlib.util
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from samurai_batch.training.bank import StoredBank
from tests.training.pictures import checks, disc

JOB = Path(__file__).parents[2] / "jobs" / "gather_pictures.py"


@pytest.fixture(scope="module")
def job() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gather_pictures", JOB)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gather_pictures"] = module
    spec.loader.exec_module(module)
    return module


def test_only_what_has_a_shape_is_a_thing_and_doubles_are_left_out(job: ModuleType, tmp_path: Path) -> None:
    pictures = {
        "a-disc": disc(40, (250, 0, 0)),
        "b-the-same": disc(40, (250, 0, 0)),
        "c-too-small": disc(12, (0, 250, 0)),
        "d-a-full-square": disc(40, (0, 0, 250))[10:30, 10:30].repeat(2, 0).repeat(2, 1),
        "e-nothing": np.zeros((40, 40, 4), dtype=np.uint8),
        "f-large": disc(600, (0, 90, 250)),
    }
    for name, picture in pictures.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    (tmp_path / "g-broken.png").write_bytes(b"no picture")
    things = list(job.things_of(job.Source("s", "p", str(tmp_path), ("*.png",))))
    assert [thing.shape for thing in things] == [(40, 40, 4), (job.THING_SIDE, job.THING_SIDE, 4)]


def test_a_sheet_gives_its_largest_thing(job: ModuleType) -> None:
    sheet = np.zeros((60, 120, 4), dtype=np.uint8)
    sheet[5:29, 5:29] = disc(24, (1, 1, 1))
    sheet[10:50, 60:100] = disc(40, (9, 9, 9))
    assert job.trimmed(job.largest(sheet)).shape == (40, 40, 4)
    assert job.trimmed(job.largest(np.zeros((30, 30, 4), dtype=np.uint8))) is None


def test_surfaces_are_large_enough_and_of_more_than_one_colour(job: ModuleType, tmp_path: Path) -> None:
    Image.fromarray(checks(100, 900)).save(tmp_path / "flat.png")
    Image.fromarray(checks(300, 700)).save(tmp_path / "wide.jpg")
    Image.fromarray(np.full((200, 200, 3), 90, dtype=np.uint8)).save(tmp_path / "grey.png")
    surfaces = list(job.surfaces_of(job.Source("s", "p", str(tmp_path), ("*.png", "*.jpg"))))
    assert [surface.shape for surface in surfaces] == [(219, 512, 3)]


def test_pictures_are_taken_evenly_from_each_folder_and_from_an_archive(job: ModuleType, tmp_path: Path) -> None:
    archive = tmp_path / "textures.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in [f"walls/{index}.png" for index in range(6)] + ["walls/2_nm.png", "floor/a.png"]:
            file.writestr(name, b"")
    source = job.Source("s", "p", str(archive), ("*.png",), per_folder=3, without=("_nm.",))
    assert sorted(path.name for path in source.paths()) == ["0.png", "2.png", "4.png", "a.png"]
    assert not list(job.Source("s", "p", str(tmp_path / "none"), ("*.png",)).paths())


def test_a_part_of_a_photograph_is_cut_out_along_its_mask_without_holes(job: ModuleType) -> None:
    photograph, mask = checks(120, 120), np.zeros((120, 120), dtype=np.bool_)
    mask[30:80, 40:90] = disc(50, (0, 0, 0))[..., 3] > 0
    mask[50:55, 60:65] = False
    part = job.cut_out(photograph, mask)
    assert abs(part.shape[0] - 50) <= 2
    assert part[25, 25, 3] == 255
    mask[:] = False
    mask[:40, :40] = True
    assert job.cut_out(photograph, mask) is None  # it goes on beyond the picture's edge
    assert job.cut_out(photograph, np.ones_like(mask)) is None


def test_what_is_gathered_is_a_bank_and_is_not_gathered_twice(
    job: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Image.fromarray(disc(40, (250, 0, 0))).save(tmp_path / "a" / "disc.png")
    Image.fromarray(disc(30, (9, 9, 9))).save(tmp_path / "b" / "other.png")
    Image.fromarray(checks(120, 200)).save(tmp_path / "a" / "checks.jpg")
    source = job.Source
    things = (
        source("x", "pack", str(tmp_path / "a"), ("*.png",)),
        source("y", "pack", str(tmp_path / "b"), ("*.png",), True),
    )
    monkeypatch.setattr(job, "THINGS", things)
    monkeypatch.setattr(job, "SURFACES", (source("z", "pack", str(tmp_path / "a"), ("*.jpg",)),))
    monkeypatch.setattr(job, "emoji", lambda: iter(()))
    monkeypatch.setattr(sys, "argv", ["gather_pictures.py", "--folder", str(tmp_path / "bank")])
    job.main()
    bank = StoredBank.open(tmp_path / "bank" / "training")
    assert [len(group) for group in bank.things] == [1]
    assert (tmp_path / "bank" / "held-out" / "things-y.npy").exists()
    Image.fromarray(disc(50, (0, 250, 0))).save(tmp_path / "a" / "later.png")
    job.main()
    assert len(StoredBank.open(tmp_path / "bank" / "training").things[0]) == 1


def test_missing_packages_are_named_unless_some_will_do(
    job: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job, "THINGS", (job.Source("x", "no-such-pack", str(tmp_path), ("*.png",)),))
    monkeypatch.setattr(job, "SURFACES", ())
    monkeypatch.setattr(job, "EMOJI", str(tmp_path / "no.ttf"))
    monkeypatch.setattr(sys, "argv", ["gather_pictures.py", "--folder", str(tmp_path / "bank")])
    with pytest.raises(SystemExit):
        job.main()
    assert "apt-get install fonts-noto-color-emoji no-such-pack" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--some"])
    job.main()
    assert not (tmp_path / "bank").exists()
