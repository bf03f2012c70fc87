"""``python -m samurai_batch``: the command line."""

from samurai_batch.cli import main

if __name__ == "__main__":
    main()
