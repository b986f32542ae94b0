"""``python -m afl_sim`` is the command ``afl-sim``."""

from afl_sim.cli import main

if __name__ == "__main__":
    main()
