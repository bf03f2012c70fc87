import subprocess
import sys

import pytest

FAULTS_OF_TAKING_MEMORY_AGAIN = """
import resource, torch
from samurai_batch.modeling.process import prepare_process

def take() -> None:
    [torch.zeros(3_000_000, dtype=torch.uint8) for _ in range(8)]

prepare_process(1)
for _ in range(10):
    take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, torch.get_num_threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the C library is left as it is")
def test_a_prepared_process_takes_the_same_memory_again_without_a_system_call() -> None:
    command = [sys.executable, "-c", FAULTS_OF_TAKING_MEMORY_AGAIN]
    num_faults, num_threads = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(num_faults) < 1000  # of 58,590 pages of 4 kB
    assert int(num_threads) == 1
