"""Models: the built-in ones, users' own, and a model as one vector of parameters and buffers."""
