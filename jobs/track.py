"""A dataset, as an entry point for Ray's job API: `python jobs/track.py job.yaml [--set field=value …]`.

The same as `samurai-batch run`, options and exit codes included: 0 all done, 3 some tracks failed, 2 a wrong job.
"""

import sys

from samurai_batch.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "run")
    main()
