"""What training a model asks of a device: operations, bytes that are moved, bytes that are held.

`counted` knows the built-in models, and needs no PyTorch. `afl_sim.learning.models.cost.measuring`
looks at any other network.
"""

from afl_sim.learning.models.cost.counting import counted
from afl_sim.learning.models.cost.model_cost import ModelCost

__all__ = ["ModelCost", "counted"]
