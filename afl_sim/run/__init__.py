"""One run: it is prepared, executed and recorded."""
