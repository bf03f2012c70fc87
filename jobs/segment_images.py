"""A dataset of pictures, as an entry point for Ray's job API: `python jobs/segment_images.py photos/ -o masks/`.

A folder of pictures, a .txt file of their URIs, or a table of prompts on them, anywhere. The same as `samurai-batch
segment`, options and exit codes included: 0 all done, 3 some pictures failed, 2 a wrong job.
"""

import sys

from samurai_batch.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "segment")
    main()
