from pathlib import Path

import numpy as np
import pytest

from samurai_batch.training.bank import PictureFile, StoredBank, draw, store
from tests.training.pictures import TinyBank, bar, checks, disc


def test_pictures_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    pictures = [disc(30, (1, 2, 3)), bar(20, 60), disc(21, (9, 8, 7))]
    assert store(tmp_path / "things-a.npy", pictures) == 3
    again = PictureFile(tmp_path / "things-a.npy")
    assert len(again) == 3
    assert all(np.array_equal(*pair) for pair in zip(again, pictures, strict=True))
    assert np.array_equal(again[-1], pictures[-1])
    assert [picture.shape for picture in again[1:]] == [(20, 60, 4), (21, 21, 4)]


def test_a_bank_is_all_files_of_its_folder(tmp_path: Path) -> None:
    store(tmp_path / "things-a.npy", [bar(20, 60)])
    with pytest.raises(FileNotFoundError, match="no surfaces here; make them by jobs/gather_pictures"):
        StoredBank.open(tmp_path)
    store(tmp_path / "surfaces-b.npy", [checks(40, 50)])
    store(tmp_path / "surfaces-c.npy", [checks(60, 50), checks(70, 50)])
    bank = StoredBank.open(tmp_path)
    assert [len(group) for group in bank.things] == [1]
    assert [len(group) for group in bank.surfaces] == [1, 2]


def test_every_picture_is_drawn_and_a_large_group_does_not_drown_a_small_one() -> None:
    small, large = [bar(20, 60)], [disc(10, (index, 0, 0)) for index in range(64)]
    rng = np.random.default_rng(0)
    drawn = [draw(rng, [small, large]).shape for _ in range(500)]
    assert 50 < drawn.count((20, 60, 4)) < 150  # one in five
    bank = TinyBank()
    assert {draw(rng, bank.things).shape for _ in range(100)} == {(40, 40, 4), (24, 24, 4), (20, 60, 4)}
