from afl_sim.cli import main

main()
