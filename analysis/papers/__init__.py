"""One module a paper: from the runs of its target to the numbers of its tables, and its figure."""
