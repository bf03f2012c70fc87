"""How fast a node tracks objects, as an entry point for Ray's job API: `python jobs/benchmark.py [--model …]`.

The same as `samurai-batch bench`, options included; `-o` is a folder of the node it runs on.
"""

import sys

from samurai_batch.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "bench")
    main()
