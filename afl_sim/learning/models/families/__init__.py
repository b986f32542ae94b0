"""The built-in models, by family: each has a `ModelSpec` that builds a network for a form."""
