"""Options that set fields of a job, shared by all commands that take a job."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samurai_batch.errors import ConfigError

if TYPE_CHECKING:
    from samurai_batch.job import JobConfig

RunId = Annotated[str | None, typer.Option(help="Id of the run; `submit` sets it. Default: a new one.")]
Fields = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set any field of the job (see `fields`).")
]

_OPTIONS: dict[str, Any] = {
    "prompts": typer.Option(help="Prompts table: path or URI of a .parquet, .csv or .jsonl file."),
    "output": typer.Option("--output", "-o", help="Output folder: path or URI (s3://…)."),
    "model": typer.Option(help="Name of the model; `models` lists them. Default: nano."),
    "weights": typer.Option(help="Weights: path, URI, or untrained:<seed>."),
    "image_size": typer.Option(metavar="PIXELS", help="Side of the model's input, a multiple of 32."),
    "mode": typer.Option(help="Tracker: samurai (default), sam2 and others (see `fields mode`)."),
    "rescue": typer.Option(
        help="What may replace the tracker's masks: none (default) or sentry (see `fields rescue`)."
    ),
    "frame_step": typer.Option("--every", metavar="N", help="Track every N-th frame only. Default: 1."),
    "on_cut": typer.Option("--on-cut", metavar="WHAT", help="At scene cuts: ignore (default), continue or end."),
    "replicas": typer.Option(metavar="N", help="Number of model replicas. Default: as many as fit."),
}
TRACKING = ("model", "weights", "image_size", "mode", "rescue")
DATASET = ("prompts", "output", *TRACKING, "replicas")

Verb = Callable[..., None]


def takes_options(*names: str) -> Callable[[Verb], Verb]:
    """Add these options, and ``--set``, to a command. Its argument ``options`` is a dict of those that were given."""

    def with_options(verb: Verb) -> Verb:
        def called(*, fields: list[str] | None = None, **given: Any) -> None:
            options = {name: given.pop(name) for name in names if name in given}
            verb(options=_merged(options, fields), **given)

        own = [one for one in inspect.signature(verb).parameters.values() if one.name != "options"]
        added = [_parameter(name, Annotated[str | None, _OPTIONS[name]]) for name in names]
        signature = inspect.Signature([*own, *added, _parameter("fields", Fields)])
        called.__signature__ = signature  # type: ignore[attr-defined]  # typer reads it
        called.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
        called.__name__, called.__doc__ = verb.__name__, verb.__doc__
        return called

    return with_options


def load_job_of(path: str | None, options: Mapping[str, str]) -> "JobConfig":
    """The job in a YAML file, if there is one, with its fields replaced by options. Raises ConfigError."""
    from samurai_batch.job import load_job

    return load_job(path, options)


def _merged(options: Mapping[str, str | None], fields: Sequence[str] | None) -> dict[str, str]:
    """The options that were given, overridden by those of ``--set field=value``."""
    merged = {name: value for name, value in options.items() if value is not None}
    for text in fields or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: write field=value, such as --set chunk_frames=500")
        merged[name.strip()] = value.strip()
    return merged


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
