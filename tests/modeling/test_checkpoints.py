"""Weights files: the released names and shapes, loaded strictly; whatever else is refused in one clear sentence."""

import gzip
import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from samurai_batch.errors import ConfigError
from samurai_batch.modeling.checkpoints import (
    build_model,
    build_sam,
    load_sam_weights,
    load_weights,
    parameter_shapes,
)
from samurai_batch.modeling.configs import MODELS, SAM_MODELS, model_config
from samurai_batch.modeling.sam2 import SAM2
from samurai_batch.modeling.untrained import seeded_weights
from tests.deterministic import SMALL, deterministic_frames, normalised
from tests.images.small import SMALL_SAM
from tests.modeling.weight_files import refuse, torch_bytes, written

RELEASED = Path(__file__).parent.parent / "checkpoints"
RELEASED_ROWS = [name for name in MODELS if name != "nano"]


def released_shapes(name: str) -> dict[str, list[int]]:
    """Names and shapes as the authors' file holds them."""
    shapes: dict[str, list[int]] = json.loads(gzip.decompress((RELEASED / f"{name}.json.gz").read_bytes()))
    return shapes


@pytest.mark.parametrize("name", RELEASED_ROWS)
def test_names_and_shapes_are_those_of_the_released_checkpoint(name: str) -> None:
    ours = {key: list(shape) for key, shape in parameter_shapes(model_config(name)).items()}
    assert ours == released_shapes(name)


def test_only_the_variants_of_one_size_of_efficienttam_hold_the_same_names_and_shapes() -> None:
    groups: dict[tuple[tuple[str, torch.Size], ...], list[str]] = {}
    for name, config in MODELS.items():
        groups.setdefault(tuple(parameter_shapes(config).items()), []).append(name)
    equal = [names for names in groups.values() if len(names) > 1]
    variants = ("", "_1", "_2", "_512x512")
    assert equal == [[f"efficienttam_{size}{variant}" for variant in variants] for size in ("ti", "s")]


@pytest.mark.parametrize("form", ["released", "bare", "safetensors"])
def test_weights_load_from_every_form_as_they_were_written(
    form: str, small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    data = {
        "released": lambda: torch_bytes({"model": small_tensors}),
        "bare": lambda: torch_bytes(small_tensors),
        "safetensors": lambda: save(small_tensors),
    }[form]()
    path = written(tmp_path / "weights", data)
    weights = load_weights(small_row, path)
    assert weights.digest == hashlib.sha256(data).hexdigest()
    assert weights.source == path
    assert weights.are_trained
    model = build_model(weights, dtype=torch.float32)
    assert model.state_dict().keys() == small_tensors.keys()
    assert all(torch.equal(value, small_tensors[name]) for name, value in model.state_dict().items())


def test_a_released_file_loads_strictly_into_the_largest_model(tmp_path: Path) -> None:
    name = "sam2.1_hiera_large"
    shapes = released_shapes(name)
    tensors = {key: torch.zeros(1).expand(shape) for key, shape in shapes.items()}  # no storage of their own
    path = written(tmp_path / "large.pt", torch_bytes({"model": tensors}))
    model = build_model(load_weights(name, path), image_size=32, device="cpu")
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_half_precision_weights_load_and_run_in_the_requested_precision(
    small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    halves = {key: value.half() for key, value in small_tensors.items()}
    model = build_model(load_weights(small_row, written(tmp_path / "half", save(halves))), dtype=torch.float64)
    assert model.no_obj_ptr.dtype == torch.float64
    assert model.encode_image(normalised(deterministic_frames(1, 64)[0])).image.dtype == torch.float64


def test_a_model_built_from_weights_equals_one_built_the_plain_way(small_row: str) -> None:
    weights = load_weights(small_row, "untrained:5")
    model = build_model(weights, dtype=torch.float64)
    plain = SAM2(SMALL)
    plain.load_state_dict(weights.tensors)
    pixels = normalised(deterministic_frames(1, 64)[0])
    assert torch.equal(model.encode_image(pixels).image, plain.double().encode_image(pixels).image)
    assert torch.equal(model.image_pe, plain.image_pe)


def test_untrained_weights_depend_on_their_seed_and_say_what_they_are(small_row: str) -> None:
    first, again, other = (load_weights(small_row, f"untrained:{seed}") for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert all(torch.equal(value, again.tensors[name]) for name, value in first.tensors.items())
    assert not torch.equal(first.tensors["no_obj_ptr"], other.tensors["no_obj_ptr"])
    assert not first.are_trained
    assert first.source == "untrained:1"


def test_code_in_a_checkpoint_is_refused_and_not_run(small_row: str, tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    path = written(tmp_path / "code.pt", torch_bytes({"model": {"no_obj_ptr": Code()}}))
    assert "code in a checkpoint is never run" in refuse(small_row, path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("form", ["pt", "safetensors"])
def test_a_file_cut_short_anywhere_is_refused(
    form: str, small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    data = torch_bytes({"model": small_tensors}) if form == "pt" else save(small_tensors)
    for size in (0, 1, 2, 100, len(data) // 2, len(data) - 1):
        assert "download them again" in refuse(small_row, written(tmp_path / f"cut{size}", data[:size]))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(junk=st.binary(max_size=200), begins_as_zip=st.booleans())
def test_bytes_that_are_no_weights_are_refused(junk: bytes, begins_as_zip: bool, tmp_path: Path) -> None:
    data = b"PK" + junk if begins_as_zip else junk
    refuse("nano", written(tmp_path / "junk", data))


def test_an_archive_of_several_disks_is_refused(tmp_path: Path) -> None:
    ends = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 9) + b"PK\x05\x06" + bytes(18)
    assert "are damaged" in refuse("nano", written(tmp_path / "disks", b"PK\x03\x04" + bytes(60) + ends))


@pytest.mark.parametrize("damaged", [b"\x80\x02.", b"\x80\x02h\x05.", b"\x80\x02NNs."])
def test_a_damaged_pickle_within_a_whole_archive_is_refused(damaged: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "damaged.pt", "w") as archive:
        archive.writestr("archive/data.pkl", damaged)
        archive.writestr("archive/byteorder", b"little")
        archive.writestr("archive/version", b"3\n")
    assert "are damaged" in refuse("nano", str(tmp_path / "damaged.pt"))


def test_weights_of_another_model_are_refused_by_that_models_name(tmp_path: Path) -> None:
    shapes = released_shapes("sam2.1_hiera_small")
    tensors = {key: torch.zeros(1).expand(shape) for key, shape in shapes.items()}
    path = written(tmp_path / "small.pt", torch_bytes({"model": tensors}))
    message = refuse("sam2.1_hiera_tiny", path)
    assert "those of sam2.1_hiera_small" in message
    assert "model: sam2.1_hiera_small" in message


def test_weights_that_fit_several_models_are_refused_by_all_their_names(tmp_path: Path) -> None:
    tensors = {key: torch.zeros(1).expand(shape) for key, shape in released_shapes("efficienttam_ti").items()}
    message = refuse("efficienttam_s", written(tmp_path / "ti.pt", torch_bytes({"model": tensors})))
    assert "those of efficienttam_ti or efficienttam_ti_1 or efficienttam_ti_2 or efficienttam_ti_512x512" in message


@pytest.mark.parametrize("has_counters", [True, False])
def test_batch_norms_load_with_and_without_the_counters_of_their_training(has_counters: bool, tmp_path: Path) -> None:
    shapes = released_shapes("edgetam")
    drawn = seeded_weights({key: shape for key, shape in shapes.items() if "num_batches" not in key}, 0)
    counters = {key: torch.tensor(7) for key in shapes if "num_batches" in key} if has_counters else {}
    path = written(tmp_path / "edgetam.pt", torch_bytes({"model": OrderedDict(drawn | counters)}))
    model = build_model(load_weights("edgetam", path), 256)
    held = model.state_dict()
    assert {key: list(value.shape) for key, value in held.items()} == shapes
    assert all(torch.equal(held[key], value) for key, value in (drawn | counters).items())


def test_untrained_batch_norms_have_positive_variances() -> None:
    weights = load_weights("edgetam", "untrained:0").tensors
    assert all((value > 1).all() for key, value in weights.items() if key.endswith("running_var"))


def test_missing_unknown_and_misshapen_parameters_are_counted_and_named(
    small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    changed = dict(small_tensors)
    del changed["no_obj_ptr"]
    changed["surplus"] = torch.zeros(1)
    changed["no_mem_embed"] = torch.zeros(2)
    message = refuse(small_row, written(tmp_path / "changed", save(changed)))
    assert "1 missing (such as no_obj_ptr)" in message
    assert "1 unknown (such as surplus)" in message
    assert "1 of another shape (such as no_mem_embed)" in message


@pytest.mark.parametrize("content", [[1, 2], {"model": 3}, {"model": {1: torch.zeros(1)}}, {"epoch": 7}])
def test_a_checkpoint_without_parameters_is_refused(content: object, small_row: str, tmp_path: Path) -> None:
    assert "no parameters under the key 'model'" in refuse(
        small_row, written(tmp_path / "empty.pt", torch_bytes(content))
    )


def test_parameters_that_are_whole_numbers_are_refused(
    small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    changed = small_tensors | {"no_obj_ptr": torch.zeros(1, 32, dtype=torch.int64)}
    assert "no_obj_ptr holds torch.int64" in refuse(small_row, written(tmp_path / "whole", save(changed)))


def test_a_missing_file_is_refused(small_row: str, tmp_path: Path) -> None:
    assert "do not exist" in refuse(small_row, str(tmp_path / "nowhere.pt"))


def test_weights_that_do_not_ship_are_refused_with_what_to_do() -> None:
    assert "download them and name the file" in refuse("sam2.1_hiera_tiny", None)


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'sam3' is not known; the models are .*sam2\.1_hiera_tiny"):
        load_weights("sam3")


@pytest.mark.parametrize("seed", ["", "x", "-1", "1.5"])
def test_a_seed_that_is_no_whole_number_is_refused(seed: str) -> None:
    with pytest.raises(ConfigError, match="a whole number"):
        load_weights("nano", f"untrained:{seed}")


@pytest.mark.parametrize("image_size", [0, -32, 16, 33, 100])
def test_an_image_size_that_is_no_multiple_of_32_is_refused(image_size: int, small_row: str) -> None:
    with pytest.raises(ConfigError, match=f"image_size {image_size} is not a positive multiple of 32"):
        build_model(load_weights(small_row, "untrained:0"), image_size=image_size)


def mapped_from(tensor: Tensor) -> str:
    """The file whose pages hold a tensor's values; "" if they are memory of this process alone."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, *_, name = [*line.split(maxsplit=5), ""][:6]
        low, high = (int(end, 16) for end in span.split("-"))
        if low <= tensor.data_ptr() < high:
            return name
    raise AssertionError("a tensor lies somewhere")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux says what is mapped")
@pytest.mark.parametrize("form", ["pt", "safetensors"])
def test_weights_are_mapped_and_stand_in_the_machines_memory_once(
    form: str, small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    data = torch_bytes({"model": small_tensors}) if form == "pt" else save(small_tensors)
    weights = load_weights(small_row, written(tmp_path / f"weights.{form}", data))
    networks = [build_model(weights, 64) for _ in range(2)]
    for name, tensor in weights.tensors.items():
        assert mapped_from(tensor).startswith(str(tmp_path))
        held = {model.state_dict()[name].data_ptr() for model in networks}
        assert held == {tensor.data_ptr()}


def test_what_is_done_to_a_network_does_not_reach_the_file(
    small_row: str, small_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = written(tmp_path / "weights", save(small_tensors))
    model = build_model(load_weights(small_row, path), 64)
    with torch.no_grad():
        model.no_obj_ptr.add_(1)
    assert torch.equal(load_weights(small_row, path).tensors["no_obj_ptr"], small_tensors["no_obj_ptr"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pickled_weights_are_read_where_they_lie(small_row: str, dtype: torch.dtype) -> None:
    weights = load_weights(small_row, "untrained:3")
    weights = replace(weights, tensors={name: tensor.to(dtype) for name, tensor in weights.tensors.items()})
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(weights, protocol=5, buffer_callback=buffers.append)
    assert len(data) < sum(tensor.nbytes for tensor in weights.tensors.values()) / 4
    shared = [bytes(buffer.raw()) for buffer in buffers]  # cannot be written, as in Ray's object store
    other = pickle.loads(data, buffers=shared)  # noqa: S301
    assert (other.config, other.digest, other.source) == (weights.config, weights.digest, weights.source)
    places = {np.frombuffer(values, np.uint8).ctypes.data for values in shared}
    for name, tensor in weights.tensors.items():
        assert torch.equal(other.tensors[name], tensor)
        assert other.tensors[name].data_ptr() in places


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_weights_in_the_dtype_of_a_network_are_shared_by_all_that_compute_in_it(
    small_row: str, dtype: torch.dtype
) -> None:
    stored = load_weights(small_row, "untrained:3")
    stored = replace(stored, tensors={name: tensor.half() for name, tensor in stored.tensors.items()})
    weights = stored.in_dtype(dtype)
    for model in [build_model(weights, 64, dtype) for _ in range(2)]:
        for name, held in model.state_dict().items():
            assert held.data_ptr() == weights.tensors[name].data_ptr()
    plain = build_model(stored, 64, dtype).state_dict()
    assert plain.keys() == weights.tensors.keys()
    assert all(torch.equal(plain[name], tensor) for name, tensor in weights.tensors.items())
    assert weights.digest == stored.digest


def test_sams_weights_too_are_shared_in_the_dtype_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAM_MODELS, SMALL_SAM.name, SMALL_SAM)
    weights = load_sam_weights(SMALL_SAM.name, "untrained:3").in_dtype(torch.bfloat16)
    held = build_sam(weights, dtype=torch.bfloat16).state_dict()
    assert all(tensor.data_ptr() == weights.tensors[name].data_ptr() for name, tensor in held.items())


def test_a_folder_is_no_weights(tmp_path: Path) -> None:
    assert "are not a file" in refuse("nano", str(tmp_path))


def test_laying_out_a_network_does_not_load_the_compiler() -> None:
    code = (
        "import sys; from samurai_batch.modeling.checkpoints import build_model, load_weights;"
        "build_model(load_weights('nano')); print(sorted({'torch._dynamo', 'sympy'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=600)
    assert run.stdout.strip() == "[]"
