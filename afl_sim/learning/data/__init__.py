"""Data sets: reading and checking their files, the packaged MNIST, normalization, and the cache."""
