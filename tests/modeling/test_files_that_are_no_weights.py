"""Files that were saved differently, are something else, or hold no usable numbers: refused with the remedy."""

import gzip
import pickle
import zipfile
from pathlib import Path

import pytest
from safetensors.torch import save
from torch import Tensor

from tests.modeling.weight_files import refuse, torch_bytes, written


@pytest.mark.parametrize("key", ["state_dict", "ema"])
def test_parameters_under_another_key_are_told_with_what_to_save(
    key: str, small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    message = refuse(small_row, written(tmp_path / "other.pt", torch_bytes({key: small_tensors, "epoch": 1})))
    assert f"under the key 'model', but under '{key}'; save {{'model': checkpoint['{key}']}}" in message


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.sam2."])
def test_a_prefix_that_a_wrapper_has_put_before_every_name_is_told(
    prefix: str, small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    prefixed = {prefix + name: value for name, value in small_tensors.items()}
    for data in (torch_bytes({"model": prefixed}), save(prefixed)):
        message = refuse(small_row, written(tmp_path / "prefixed", data))
        assert f"are of {small_row}, but all their names begin with '{prefix}'; save them without it" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_of_a_training_that_has_failed_are_refused(
    value: float, small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    small_tensors["no_obj_ptr"][0, 3] = value
    message = refuse(small_row, written(tmp_path / "failed", save(small_tensors)))
    assert "no_obj_ptr holds NaN or infinity; the training has failed" in message


def test_tensors_that_are_not_plain_are_refused(
    small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    for strange in (small_tensors["no_obj_ptr"].to_sparse(), small_tensors["no_obj_ptr"].to("meta")):
        path = written(tmp_path / "strange.pt", torch_bytes({"model": small_tensors | {"no_obj_ptr": strange}}))
        assert "save plain tensors" in refuse(small_row, path)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (pickle.dumps({"model": {}}), "are a pickle, such as PyTorch wrote before 1.6; save them again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 100\n", "pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>sign in</html>", "are a web page or an error of a store, not the file"),
        (b'{"error": "gated"}', "are JSON, such as an error of a server"),
        (gzip.compress(b"weights", mtime=0), "are packed by gzip; unpack them"),
    ],
)
def test_a_file_that_is_something_else_is_told_what_it_is(data: bytes, what: str, tmp_path: Path) -> None:
    assert what in refuse("nano", written(tmp_path / "w.pt", data))


def test_a_torchscript_archive_is_refused_before_pytorch_reads_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", b"\x80\x02}.")
        archive.writestr("script/constants.pkl", b"\x80\x02).")
    assert "are a TorchScript archive, which is code; save" in refuse("nano", str(tmp_path / "script.pt"))


def test_a_checkpoint_of_pytorch_under_the_name_of_safetensors_is_told_to_be_renamed(
    small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = written(tmp_path / "w.safetensors", torch_bytes({"model": small_tensors}))
    assert "are a checkpoint of PyTorch; let the name end in .pt" in refuse(small_row, path)
