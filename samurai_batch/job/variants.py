"""The jobs of a comparison: one job, with some fields set differently in each variant."""

import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from samurai_batch import storage
from samurai_batch.errors import ConfigError
from samurai_batch.job.config import JobConfig
from samurai_batch.job.loading import JobValues, make_job, read_job_values

SHARED = ("prompts", "output", "task")  # fields that all variants have in common
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_EXAMPLE = "variants: [{mode: samurai}, {mode: sam2}]"


def load_variants(
    path: str | None,
    overrides: Mapping[str, str],
    *,
    modes: Sequence[str] = (),
    models: Sequence[str] = (),
    weights: Sequence[str] = (),
    rescues: Sequence[str] = (),
    default_prompts: str | None = None,
) -> dict[str, JobConfig]:
    """The jobs of a comparison by name; each writes to ``<output>/<name>``.

    They come from the list ``variants`` of a YAML file, each of fields of a job and optionally a ``name``, or from
    every mode with every rescue and every model. One of ``weights`` is for all models, several are for the models in
    their order. ``default_prompts`` is the name, below the output, of a prompts table for a job that names none.
    Raises ConfigError.
    """
    values = read_job_values(path, overrides)
    listed = values.fields.pop("variants", None)
    if listed is not None and (modes or models or weights or rescues):
        raise ConfigError(f"{values.source}: has variants already; leave out --mode, --rescue, --model and --weights")
    variants = _checked(listed, values) if listed is not None else _combined(modes, models, weights, rescues)
    if len(variants) < 2:
        raise ConfigError(
            "there is nothing to compare; give --mode, --rescue or --model at least twice, or a job file with "
            f"{_EXAMPLE}"
        )
    output = values.fields.get("output")
    if default_prompts is not None and values.fields.get("prompts") is None and isinstance(output, str):
        values.fields["prompts"] = storage.join(output, default_prompts)
    named = _named(variants)
    return {name: _job(values, number, name, fields) for number, (name, fields) in enumerate(named.items(), start=1)}


def _checked(listed: object, values: JobValues) -> list[dict[str, Any]]:
    place = values.places.get("variants", values.source)
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ConfigError(f"{place}: variants should be a list of fields of a job, such as {_EXAMPLE}")
    for number, fields in enumerate(listed, start=1):
        if shared := sorted(fields.keys() & set(SHARED)):
            raise ConfigError(f"{place}: variant {number} sets {shared[0]}, which all variants have in common")
    return [dict(one) for one in listed]


def _combined(
    modes: Sequence[str], models: Sequence[str], weights: Sequence[str], rescues: Sequence[str]
) -> list[dict[str, Any]]:
    if len(weights) > 1 and len(weights) != len(models):
        raise ConfigError(
            f"--weights is given {len(weights)} times and --model {len(models)} times; give one for each model, in "
            "their order, or one for all"
        )
    of_models: list[dict[str, Any]] = [{"model": model} for model in models] or [{}]
    for index, fields in enumerate(of_models):
        if weights:
            fields["weights"] = weights[index if len(weights) > 1 else 0]
    of_modes: list[dict[str, Any]] = [{"mode": mode} for mode in modes] or [{}]
    of_rescues: list[dict[str, Any]] = [{"rescue": rescue} for rescue in rescues] or [{}]
    return [model | mode | rescue for model, mode, rescue in product(of_models, of_modes, of_rescues)]


def _named(variants: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The variants by their names, or by the values of the fields in which they differ."""
    fields = list(dict.fromkeys(key for one in variants for key in one if key not in ("name", "weights")))
    varied = [key for key in fields if len({str(one.get(key)) for one in variants}) > 1]
    named: dict[str, dict[str, Any]] = {}
    for number, one in enumerate(variants, start=1):
        own = "-".join(str(one[key]) for key in varied if isinstance(one.get(key), str | int | float))
        name = str(one.get("name") or own or f"variant-{number}")
        if name in named:
            raise ConfigError(f"two variants are named {name}; give each variant a name of its own (name: …)")
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"variant {number} cannot be named {name!r}; a name is letters, digits, '.', '_' and '-' (name: …)"
            )
        settings = {key: value for key, value in one.items() if key != "name"}
        if same := [other for other, own in named.items() if own == settings]:
            raise ConfigError(f"variants {same[0]} and {name} are the same job; change a field of one, or remove it")
        named[name] = settings
    return named


def _job(values: JobValues, number: int, name: str, fields: dict[str, Any]) -> JobConfig:
    merged = values.fields | fields
    if isinstance(own := fields.get("tracker"), dict) and isinstance(shared := values.fields.get("tracker"), dict):
        merged["tracker"] = shared | own
    if isinstance(output := merged.get("output"), str):
        merged["output"] = storage.join(output, name)
    places = values.places | dict.fromkeys(fields, f"variant {number}")
    return make_job(merged, values.source, places)
