"""Proves the CUDA path on a real GPU and measures it: `python jobs/gpu_checks.py [--rehearse] [--only SECTION]`.

Proofs, each of which can be wrong (`gpu/proofs.py`):

    machine      what `samurai-batch doctor` says of it
    masks        nano on the GPU against the CPU in float32; the same bits again, and from a saved track state
    chunks       whole chunks of 8 tracks: the same rows and track states every time
    rows         run lengths of masks made on the GPU against those of pixels made on the CPU, bit for bit
    golden       the authors' numbers in float64, where the repository's tests are at hand
    waits        that no operation of a frame lets the host wait unseen, by PyTorch's own count
    streams      that copies to the host arrive unharmed beside other work, and wait for none of it
    kernels      that attention takes the kernels that `modeling/gpu.py` names
    compiled     torch.compile against the plain encoder; that it compiles once
    graphs       CUDA graphs of the network's operations against the operations
    pixels       torchcodec's pixels against PyAV's
    memory       that memory which ends is a MemoryError, and that work goes on when there is room again

Measurements (`gpu/measurements.py`):

    rates        products, and the cost of a launch
    precision    what TensorFloat-32, which is switched off, would do to the mask decoder
    attention    milliseconds of every attention of a frame by each kernel that takes it
    costs        milliseconds and kernels to encode a frame and to step 1 and 8 tracks, also with CUDA graphs
    row_costs    milliseconds and kernels of the run lengths of 8 masks
    video        frames per second of whole chunks, rows included, of frames in memory at 720p and 1080p
    decoding     frames per second of files by 1 and 4 threads, and by torchcodec on the GPU

It prints a table as it goes and writes it to gpu_checks.md and gpu_checks.json in --output. Exit code 1 if a check
found something wrong. Takes about 10 minutes and needs one GPU; --budget stops before a section that would start later.
`--rehearse` runs the same code on the CPU with the smallest sizes, to see that the script itself runs. With
TORCH_CUDA_SANITIZER=1 in the environment, PyTorch reports tensors that two streams use without waiting for each other.

So far it has only been rehearsed: no GPU has run it.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from gpu import measurements, proofs
from gpu.session import Session

SECTIONS: dict[str, Callable[[Session], None]] = {
    "machine": proofs.check_machine,
    "masks": proofs.check_masks,
    "chunks": proofs.check_chunks,
    "rows": proofs.check_rows,
    "golden": proofs.check_golden,
    "waits": proofs.check_waits,
    "streams": proofs.check_streams,
    "kernels": proofs.check_kernels,
    "compiled": proofs.check_compiled,
    "graphs": proofs.check_graphs,
    "pixels": proofs.check_pixels,
    "memory": proofs.check_memory,
    "rates": measurements.measure_rates,
    "precision": measurements.measure_precision,
    "attention": measurements.measure_attention,
    "costs": measurements.measure_costs,
    "row_costs": measurements.measure_rows,
    "video": measurements.measure_video,
    "decoding": measurements.measure_decoding,
}


def main() -> int:
    """Run the sections; 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="run on the CPU with the smallest sizes")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--budget", type=float, default=math.inf, help="seconds after which nothing more starts")
    parser.add_argument("--output", type=Path, default=Path(), help="folder for gpu_checks.md and gpu_checks.json")
    options = parser.parse_args()
    if unknown := set(options.only.split(",")) - SECTIONS.keys():
        parser.error(f"--only {', '.join(sorted(unknown))}: the sections are {', '.join(SECTIONS)}")
    if not options.rehearse and not torch.cuda.is_available():
        parser.error("no GPU that PyTorch can use; --rehearse runs the script on the CPU")
    device = "cpu" if options.rehearse else "cuda"
    session = Session(device, options.rehearse, time.monotonic() + options.budget)
    print("| section | check | result | verdict |\n| --- | --- | --- | --- |")
    for name in options.only.split(","):
        session.section = name
        if session.is_late():
            session.add("not run", "no time was left")
            continue
        try:
            SECTIONS[name](session)
        except Exception as error:  # one section must not end the others
            session.add("failed", f"{type(error).__name__}: {error}".splitlines()[0][:200], is_right=False)
    write(session.rows, options.output)
    return int(any(verdict == "WRONG" for *_, verdict in session.rows))


def write(rows: list[tuple[str, str, str, str]], folder: Path) -> None:
    """The table as Markdown and JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("section", "check", "result", "verdict")
    lines = ["| " + " | ".join(row) + " |" for row in (names, ("---",) * len(names), *rows)]
    (folder / "gpu_checks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = [dict(zip(names, row, strict=True)) for row in rows]
    (folder / "gpu_checks.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
