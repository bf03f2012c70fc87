"""Whatever reads bytes from outside takes them, or refuses them by an error of its own, however they were changed.

``python -m tests.hostile.test_mutated_bytes 100000`` tries so many changes of each kind of bytes.
"""

import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.parsers import PARSERS, Parser

SPLICES = (
    *(b"", b"\0", b"\xff", b"-", b"0", b"9" * 30, b"1e999", b"nan", b"null", b"{", b"[" * 50, b'"', b"\n", b": "),
    *(b"\xf0\x9f\x98\x80", b"2001-99-99", b"!!python/name:os.system", b"&a", b"*a", b"!!bool x", b"!!timestamp x"),
)

Change = tuple[float, str, int, int]
"""A place as a share of all bytes, what is done there, to how many bytes, and with what."""

changes = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["flip", "cut", "remove", "repeat", "splice"]),
        st.integers(1, 64),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=4,
)


def changed(data: bytes, change: Change) -> bytes:
    share, what, size, value = change
    place = int(share * len(data))
    match what:
        case "flip":
            return data[:place] + bytes([data[place] ^ value] if data else []) + data[place + 1 :]
        case "cut":
            return data[:place]
        case "remove":
            return data[:place] + data[place + size :]
        case "repeat":
            return data[:place] + data[place : place + size] * 2 + data[place + size :]
        case _:
            return data[:place] + SPLICES[value % len(SPLICES)] + data[place + size % 8 :]


def check(parser: Parser, folder: Path, data: bytes) -> None:
    with suppress(*parser.refusals):
        parser.read(folder, data)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_changed_bytes_are_read_or_refused(parser: Parser, tmp_path: Path) -> None:
    whole = parser.whole(tmp_path)
    check(parser, tmp_path, whole)

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(changes)
    def run(drawn: list[Change]) -> None:
        data = whole
        for change in drawn:
            data = changed(data, change)
        check(parser, tmp_path, data)

    run()


def fuzz(parser: Parser, num_tries: int, seed: int) -> None:
    chance = random.Random(seed)
    kinds = ["flip", "cut", "remove", "repeat", "splice"]
    with tempfile.TemporaryDirectory() as folder:
        whole = parser.whole(Path(folder))
        for _ in range(num_tries):
            data = whole
            for _ in range(chance.randint(1, 4)):
                data = changed(
                    data, (chance.random(), chance.choice(kinds), chance.randint(1, 64), chance.randint(1, 255))
                )
            try:
                check(parser, Path(folder), data)
            except Exception as error:
                sys.stdout.write(f"{parser.name}: {type(error).__name__}: {error}\n  {data!r:.600}\n")
                return


if __name__ == "__main__":
    for one in PARSERS:
        started_s = time.monotonic()
        fuzz(one, int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
        sys.stdout.write(f"{one.name}: {time.monotonic() - started_s:.0f} s\n")
