"""Training of simple networks, written down in NumPy: forward, backward and the step of SGD."""
