"""The options that name fields of a job: one list of them for all verbs that take a job."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samurai_batch.errors import ConfigError

if TYPE_CHECKING:
    from samurai_batch.job import JobConfig

RunId = Annotated[str | None, typer.Option(help="The name of the run, as `submit` gives it; default: a new one.")]
Fields = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any other field of the job.")]

_OPTIONS: dict[str, Any] = {
    "prompts": typer.Option(help="Prompts table: Parquet, CSV or JSON Lines; a path or URI."),
    "output": typer.Option("--output", "-o", help="Output folder; a path or URI (s3://…)."),
    "model": typer.Option(help="A model's name; `samurai-batch models` lists them."),
    "weights": typer.Option(help="Weights: a path, a URI, or untrained:<seed>."),
    "image_size": typer.Option(metavar="PIXELS", help="Side of the model's image, a multiple of 32."),
    "mode": typer.Option(help="samurai, or sam2 for no motion model."),
    "replicas": typer.Option(metavar="N", help="Copies of the model; default: as many as fit."),
}
TRACKING = ("model", "weights", "image_size", "mode")
DATASET = ("prompts", "output", *TRACKING, "replicas")

Verb = Callable[..., None]


def takes_options(*names: str) -> Callable[[Verb], Verb]:
    """Give a verb these options of a job, and ``--set``.

    The verb takes them as its argument ``options``, a dictionary of those that were given.
    """

    def with_options(verb: Verb) -> Verb:
        def called(*, fields: list[str] | None = None, **given: Any) -> None:
            options = {name: given.pop(name) for name in names if name in given}
            verb(options=_merged(options, fields), **given)

        own = [one for one in inspect.signature(verb).parameters.values() if one.name != "options"]
        added = [_parameter(name, Annotated[str | None, _OPTIONS[name]]) for name in names]
        signature = inspect.Signature([*own, *added, _parameter("fields", Fields)])
        called.__signature__ = signature  # type: ignore[attr-defined]  # what typer reads
        called.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
        called.__name__, called.__doc__ = verb.__name__, verb.__doc__
        return called

    return with_options


def load_job_of(path: str | None, options: Mapping[str, str]) -> "JobConfig":
    """The job of a YAML file, if one is named, with options in place of its fields. Raises ConfigError."""
    from samurai_batch.job import load_job

    return load_job(path, dict(options))


def _merged(options: Mapping[str, str | None], fields: Sequence[str] | None) -> dict[str, str]:
    """The options that were given, and those of ``--set field=value`` over them."""
    merged = {name: value for name, value in options.items() if value is not None}
    for text in fields or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: write field=value, such as --set chunk_frames=500")
        merged[name.strip()] = value.strip()
    return merged


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
