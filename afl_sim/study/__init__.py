"""Many runs: the cases of a study, one after the other or side by side."""
