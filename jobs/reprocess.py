"""The nightly run, as an entry point for Ray's job API: `python jobs/reprocess.py job.yaml [--prune …]`.

The same as `samurai-batch reprocess`, options and exit codes included: it computes what is new, stale or failed.
"""

import sys

from samurai_batch.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "reprocess")
    main()
