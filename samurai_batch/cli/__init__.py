"""The command line. Commands parse options, call the package and print; no other package prints.

Exit codes: 0 all tracks done; 2 wrong usage or configuration; 3 finished, but some tracks failed; 1 anything else.
"""

import io
import logging
import sys
import threading
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import samurai_batch
from samurai_batch.cli import comparing, exchange, measuring, operating, results, running
from samurai_batch.cli.printing import err, out
from samurai_batch.errors import (
    ConfigError,
    OutputLockedError,
    PromptError,
    PromptsError,
    SamuraiBatchError,
    UsageError,
)
from samurai_batch.redaction import redact_logging

MAX_PROBLEMS_SHOWN = 50
_UTF8 = "set PYTHONUTF8=1, or LC_ALL=C.UTF-8"
_WARN = "unset PYTHONWARNINGS, or leave out -W error"

COMMANDS = (
    *("demo", "track", "prompts", "plan", "doctor", "run", "status", "submit", "reprocess", "history", "report"),
    *("render", "export", "measure", "diff", "compact", "compare", "evaluate", "bench", "segment", "models", "fields"),
)
"""In the order of the help, which is that of use: a first run, a dataset, its results, a choice of trackers."""


class _InOrder(TyperGroup):
    """Lists the commands in the order of COMMANDS."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=COMMANDS.index)


app = typer.Typer(
    name="samurai-batch",
    cls=_InOrder,
    help="""Track objects through video archives with SAMURAI (SAM 2) on Ray. Masks become Parquet tables.

    A first run: samurai-batch demo. One video: samurai-batch track. A dataset: samurai-batch plan, then run.

    samurai-batch COMMAND --help explains each command, with an example.

    Exit codes: 0 all tracks done; 2 wrong usage or configuration; 3 some tracks failed; 1 stopped, run it again.
    """,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(is_given: bool) -> None:
    if is_given:
        out.print(f"samurai-batch {samurai_batch.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


for commands in (running, operating, results, measuring, comparing, exchange):
    app.add_typer(commands.app)


def main() -> None:
    """Run the command line. A user's mistake ends with one line and an exit code; only a crash prints a traceback."""
    _prepare_streams()
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        _check_arguments()
        code = app(prog_name="samurai-batch", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except PromptsError as error:
        err.print(f"error: {error.source}: {len(error.problems)} problem(s)")
        for problem in error.problems[:MAX_PROBLEMS_SHOWN]:
            err.print(f"  {problem}")
        if len(error.problems) > MAX_PROBLEMS_SHOWN:
            err.print(f"  ... and {len(error.problems) - MAX_PROBLEMS_SHOWN} more")
        return 2
    except (UsageError, PromptError, OutputLockedError) as error:
        err.print(f"error: {error}")
        return 2
    except SamuraiBatchError as error:
        err.print(f"error: {error}")
        return 1
    except Exception as error:
        return _report_other_error(error)


def _report_other_error(error: Exception) -> int:
    """Print an error that is not of this package: wrong usage, an unsuitable environment, or a crash."""
    if isinstance(error, typer.Abort):
        err.print("Aborted!")
        return 1
    if callable(getattr(error, "show", None)):  # an error of typer, such as an unknown option
        usage = io.StringIO()
        error.show(file=usage)  # type: ignore[attr-defined]
        err.print(usage.getvalue(), end="")
        return int(getattr(error, "exit_code", 2))
    if isinstance(error, Warning):
        name = type(error).__name__
        err.print(f"error: Python turns warnings into errors, and a library warns ({name}: {error}); {_WARN}")
        return 2
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding() != "utf-8":
        err.print(f"error: {error.object!a} cannot be a path in the encoding of this locale, {error.encoding}; {_UTF8}")
        return 2
    _print_crash(error)
    return 1


def _check_arguments() -> None:
    for argument in sys.argv[1:]:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            encoding = sys.getfilesystemencoding()
            remedy = "rename the file" if encoding == "utf-8" else _UTF8
            raise ConfigError(
                f"argument {argument!a} is not text in the encoding of this locale, {encoding}; {remedy}"
            ) from error


def _prepare_streams() -> None:
    """Print any character in any locale, and redact what is logged."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    redact_logging()
    threading.excepthook = lambda crash: _print_crash(crash.exc_value)


def _print_crash(error: BaseException | None) -> None:
    """Print the traceback of an error and of its causes."""
    if error is not None:
        err.print("".join(traceback.format_exception(error)), end="")
