"""The names that users may rely on: pinned, lazy, and each the thing it is named after."""

import importlib.metadata
import subprocess
import sys

import pytest

import samurai_batch

PUBLIC = [
    "MODELS",
    "BoxPrompt",
    "DiscoverPrompt",
    "EverythingPrompt",
    "FromVideoPrompt",
    "ImagePredictor",
    "JobConfig",
    "MaskPrompt",
    "PointsPrompt",
    "Rle",
    "TextPrompt",
    "Track",
    "Tracker",
    "TrackerSettings",
    "Video",
    "build_model",
    "compact_masks",
    "decode_mask",
    "encode_mask",
    "errors",
    "iter_masks",
    "load_job",
    "load_network",
    "load_weights",
    "make_job",
    "measure_tracks",
    "open_video",
    "parse_detections",
    "parse_prompts",
    "read_detections",
    "read_masks",
    "read_prompts",
    "run_job",
    "to_supervision",
    "track",
    "track_video",
    "write_measurements",
    "write_prompts",
]

LIGHT = {
    "BoxPrompt",
    "DiscoverPrompt",
    "EverythingPrompt",
    "FromVideoPrompt",
    "JobConfig",
    "MaskPrompt",
    "PointsPrompt",
    "Rle",
    "TextPrompt",
    "Track",
    "TrackerSettings",
    "Video",
    "decode_mask",
    "encode_mask",
    "errors",
    "load_job",
    "make_job",
}


def test_the_public_names_are_these() -> None:
    assert samurai_batch.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(samurai_batch))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(samurai_batch, name)
    assert getattr(samurai_batch, name) is value
    if name == "MODELS":
        assert "sam2.1_hiera_tiny" in value
        return
    assert value.__doc__
    assert value.__name__.rpartition(".")[2] == name


def test_the_version_is_that_of_the_package() -> None:
    assert samurai_batch.__version__ == importlib.metadata.version("samurai-batch")


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        samurai_batch.nothing  # noqa: B018


def test_a_star_import_brings_them_all() -> None:
    namespace: dict[str, object] = {}
    exec("from samurai_batch import *", namespace)  # noqa: S102
    assert namespace.keys() - {"__builtins__"} == set(PUBLIC)


def test_light_names_load_without_the_network() -> None:
    code = (
        f"import sys; from samurai_batch import {', '.join(sorted(LIGHT))};"
        "print(sorted({'torch', 'ray', 'pandas', 'av'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=600)
    assert run.stdout.strip() == "[]"
