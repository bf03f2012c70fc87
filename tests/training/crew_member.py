"""One member of a crew of two that trains until it is told to stop: `python -m tests.training.crew_member RANK FOLDER`.

It leaves `RANK.ready` once signals are heard, and the weights it ended with, as `RANK.safetensors`.
"""

import os
import signal
import sys
import threading
from pathlib import Path

import torch
from safetensors.torch import save_file

from samurai_batch.training.schedule import Stage
from samurai_batch.training.trainer import TrainingSettings, train
from tests.training.networks import BATCHES, TINY


def main(rank: int, folder: Path) -> None:
    """Train a very small network until a signal comes."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    (folder / f"{rank}.ready").touch()
    endless = Stage(name="endless", minutes=60, batches=BATCHES)
    state = train(TINY, [endless], TrainingSettings(warm_up_steps=0), folder / "state", stop)
    save_file(state.weights, folder / f"{rank}.safetensors")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
