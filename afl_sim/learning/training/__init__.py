"""Local training, evaluation, optimizers, losses, and the compression of updates."""
