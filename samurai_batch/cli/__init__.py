"""The command line: thin verbs over the package. The only package that prints.

Exit codes: 0 all done; 2 bad usage or configuration; 3 finished, but some tracks failed; 1 anything else.
"""

import logging
import sys
from typing import Annotated

import typer

import samurai_batch
from samurai_batch.cli import measuring, operating, results, running
from samurai_batch.cli.printing import err, out
from samurai_batch.errors import OutputLockedError, PromptError, PromptsError, SamuraiBatchError, UsageError

MAX_PROBLEMS_SHOWN = 50

app = typer.Typer(
    name="samurai-batch",
    help="Follow objects through whole video archives: SAMURAI on Ray, Parquet mask tables out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        out.print(f"samurai-batch {samurai_batch.__version__}")
        raise typer.Exit


@app.callback()
def _before_any_verb(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    """Options of the program itself."""


for verbs in (running, operating, results, measuring):
    app.add_typer(verbs.app)


def main() -> None:
    """Run the command line; errors become one clear line and an exit code, never a traceback."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        app(prog_name="samurai-batch")
    except PromptsError as error:
        err.print(f"error: {error.source}: {len(error.problems)} problem(s)")
        for problem in error.problems[:MAX_PROBLEMS_SHOWN]:
            err.print(f"  {problem}")
        if len(error.problems) > MAX_PROBLEMS_SHOWN:
            err.print(f"  ... and {len(error.problems) - MAX_PROBLEMS_SHOWN} more")
        sys.exit(2)
    except (UsageError, PromptError, OutputLockedError) as error:
        err.print(f"error: {error}")
        sys.exit(2)
    except SamuraiBatchError as error:
        err.print(f"error: {error}")
        sys.exit(1)
