"""The numeric half on the server's side: the global model and what strategies do with it."""
