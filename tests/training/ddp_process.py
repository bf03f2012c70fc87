"""One of two processes that train together: `python -m tests.training.ddp_process WHAT RANK FOLDER`.

`step` computes the gradients of one half of a batch, averaged over both processes, and the parameters after one update,
and writes them to `RANK.safetensors`; and those of two prompts of different kinds, to `RANK-of-two-kinds.safetensors`.
`train` trains until a signal comes; it writes `RANK.stepped` after its first step, and the weights it ended with.
"""

import logging
import os
import signal
import sys
import threading
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from samurai_batch.training.batches import Batch
from samurai_batch.training.losses import LossWeights
from samurai_batch.training.optimizer import Optimizers
from samurai_batch.training.rollout import MemorySampling
from samurai_batch.training.schedule import Stage, TrainingSettings
from samurai_batch.training.trainer import ClipLoss, data_parallel, train
from tests.training.networks import BATCHES, TINY, tiny_network

# Without chance and without a penalty on a mean over the whole batch, a batch's loss is the mean of its halves'.
STAGE = Stage(name="step", minutes=1, batches=BATCHES, memory_dropout=0.0, loss_weights=LossWeights(features=0.0))


KINDS = ("box", "mask")


def clips(numbers: list[int], kind: str = "box") -> Batch:
    """A clip for each number: three frames (64 × 64) of noise with a moving square, prompted by its box."""
    frames, masks = torch.zeros(len(numbers), 3, 64, 64, 3, dtype=torch.uint8), torch.zeros(len(numbers), 3, 64, 64)
    for clip, number in enumerate(numbers):
        noise = torch.Generator().manual_seed(number)
        frames[clip] = torch.randint(0, 120, (3, 64, 64, 3), generator=noise, dtype=torch.uint8)
        for time in range(3):
            left = 8 + 6 * number + 4 * time
            frames[clip, time, 20:44, left : left + 20] += 100
            masks[clip, time, 20:44, left : left + 20] = 1
    corners = torch.tensor([[[8.0 + 6 * number, 20.0], [28.0 + 6 * number, 44.0]] for number in numbers])
    return Batch(
        frames=frames,
        masks=masks.bool(),
        owner=torch.arange(len(numbers)),
        points=corners,
        labels=torch.tensor([[2, 3]]).expand(len(numbers), -1),
        kind=kind,
        distractors=torch.zeros_like(masks).bool(),
    )


def step(batch: Batch) -> dict[str, Tensor]:
    """The gradients of a batch, and the parameters after one update."""
    model = tiny_network()
    objective = data_parallel(ClipLoss(model))
    optimizers = Optimizers(model, rate=1e-3, weight_decay=0.05)
    total, _ = objective(batch, STAGE, MemorySampling(1.0, 0.0), torch.Generator().manual_seed(0))
    total.backward()
    gradients = {f"gradient/{name}": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    optimizers.step(1.0)
    return gradients | {f"after/{name}": p.detach().clone() for name, p in model.named_parameters()}


class FirstStep(logging.Handler):
    """Writes a file when a training logs its first step."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        if " step 1 " in record.getMessage():
            self._path.touch()


def main(what: str, rank: int, folder: Path) -> None:
    """Run `step` or `train` together with the other process."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.backends.cpu.get_cpu_capability = lambda: "AVX2"  # so that the encoder computes in float32
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    if what == "step":
        save_file(step(clips([2 * rank, 2 * rank + 1])), folder / f"{rank}.safetensors")
        save_file(step(clips([rank], KINDS[rank])), folder / f"{rank}-of-two-kinds.safetensors")
        return
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    logger = logging.getLogger(train.__module__)
    logger.setLevel(logging.INFO)
    logger.addHandler(FirstStep(folder / f"{rank}.stepped"))
    endless = Stage(name="endless", minutes=60, batches=BATCHES)
    state = train(TINY, [endless], TrainingSettings(prompt_warmup_steps=0, log_every_steps=1), folder / "state", stop)
    save_file(state.weights, folder / f"{rank}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
