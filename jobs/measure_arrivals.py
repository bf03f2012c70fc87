"""Measure discovery on the generated suite `arrivals`: things enter, leave, return, cross and merge.

    python jobs/measure_arrivals.py --model nano

The detections are the generator's own boxes on every 10th frame, made noisy: 20 % are missed, 5 % are false, and sides
are jittered by 5 %. Prints HOTA, DetA, AssA, IDF1 and id switches of discovery and of a plain association of the
detections alone, as means over clips with standard errors.
"""

import argparse
import tempfile
from pathlib import Path

from samurai_batch.benchmark.arrivals import associated, clip_scores, comparison_table, discovered, write_clips
from samurai_batch.synthetic.arrivals import NUM_CLIPS, Noise


def main() -> None:
    """Generate the clips, run the job, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="a name of `samurai-batch models`")
    parser.add_argument("--weights", help="weights file; default: those that ship inside the package")
    parser.add_argument("--clips", type=int, default=NUM_CLIPS, help="how many of the suite's clips, from the first")
    parser.add_argument("--mode", default="samurai", help="the job's mode")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where clips and tables are kept; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        clips = write_clips(folder, arguments.clips, Noise())
        fields = {"model": arguments.model, "mode": arguments.mode, "replicas": arguments.replicas}
        fields |= {"weights": arguments.weights} if arguments.weights else {}
        found = discovered(folder, clips, **fields)
        ours = [clip_scores(clip.truth, found[clip.video.video_id]) for clip in clips]
        baseline = [clip_scores(clip.truth, associated(clip.detections, len(clip.truth))) for clip in clips]
    print(comparison_table(ours, baseline))


if __name__ == "__main__":
    main()
