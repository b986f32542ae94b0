"""Rules for afl_sim, in a package of their own."""
