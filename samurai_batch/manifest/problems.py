"""What is wrong with a prompts table: collected row by row, raised all at once."""

from collections.abc import Sequence

from samurai_batch import storage
from samurai_batch.checks import shown
from samurai_batch.errors import PromptsError


class Problems:
    """Collects what is wrong with one table, in any order; reports it row by row.

    Positions are those of the rows given; ``row_numbers`` are what a person calls them, the first being 1.
    """

    def __init__(self, source: str, row_numbers: Sequence[int]) -> None:
        self._source = source
        self._row_numbers = row_numbers
        self._found: list[tuple[int, int, str]] = []

    def row_number(self, position: int) -> int:
        """What a person calls the row."""
        return self._row_numbers[position]

    def about_table(self, text: str) -> None:
        """Something that concerns no single row."""
        self._found.append((0, len(self._found), text))

    def about_row(self, row_number: int, text: str) -> None:
        """Something that concerns a whole row."""
        self._found.append((row_number, len(self._found), f"row {row_number}: {text}"))

    def about_cell(self, position: int, column: str, value: object, reason: str) -> None:
        """One value: ``reason`` says what is wrong with it and how to mend it."""
        self.about_row(self.row_number(position), f"{column} is {shown(value)}: {reason}")

    def about_missing(self, position: int, column: str, reason: str) -> None:
        """A cell that must not be empty; ``reason`` says who needs it."""
        self.about_row(self.row_number(position), f"{column} is missing: {reason}")

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found so far."""
        return not self._found

    def raise_if_any(self) -> None:
        """Raise PromptsError with everything found, in the order of the rows."""
        if self._found:
            raise PromptsError(storage.redact(self._source), [text for _, _, text in sorted(self._found)])
