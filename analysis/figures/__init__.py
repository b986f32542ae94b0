"""One module a figure; each has a function from runs to a matplotlib figure."""
