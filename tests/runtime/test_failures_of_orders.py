import pytest
import torch

from samurai_batch.runtime.failures import within_memory


def failing(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory\n at"),
    ],
)
def test_memory_that_ends_is_a_memory_error_of_one_line(error: Exception) -> None:
    with pytest.raises(MemoryError) as raised:
        within_memory(lambda: failing(error))
    assert str(raised.value) == str(error).splitlines()[0]


def test_any_other_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes do not match"):
        within_memory(lambda: failing(RuntimeError("shapes do not match")))
    assert within_memory(lambda: 3) == 3
