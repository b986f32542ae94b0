"""How long a local step takes on a processor of given rates: the roofline model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from afl_sim.errors import AflSimError
from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.sections.compute import Compute as ComputeSpec
from afl_sim.streams import Streams
from afl_sim.world.speed import SPEED
from afl_sim.world.tasks.workload import Workload

_KEPT = 1 << 14  # a bounded cache: memory must not grow with the population


@dataclass(frozen=True)
class StepCost:
    """What a local step asks of a processor.

    Attributes:
        flops_per_sample: floating-point operations for each sample of the batch.
        bytes_per_step: what is moved for a step, whatever its batch.
        bytes_per_sample: what is moved for each sample of the batch.
    """

    flops_per_sample: float
    bytes_per_step: float
    bytes_per_sample: float


class Roofline:
    """Times of local steps without jitter.

    Args:
        spec: the rates; `flops_per_second` is given.
        cost: of a step; None if the model is not known.
        streams: the run's random streams.

    Raises:
        AflSimError: the model is not known.
    """

    def __init__(self, spec: ComputeSpec, cost: StepCost | None, streams: Streams) -> None:
        assert spec.flops_per_second is not None
        if cost is None:
            raise AflSimError("clients.compute.flops_per_second: the cost of the model is unknown")
        self._cost = cost
        self._flops = spec.flops_per_second
        self._bytes = spec.bytes_per_second
        self._efficiency = spec.efficiency
        self._streams = streams
        self._rates = lru_cache(_KEPT)(self._drawn)

    def step(self, client: int, samples: float) -> float:
        """Seconds of a step on a batch of so many samples."""
        flops, moved = self._rates(client)
        cost = self._cost
        computing = samples * cost.flops_per_sample / flops
        if not moved:
            return computing
        return max(computing, (cost.bytes_per_step + samples * cost.bytes_per_sample) / moved)

    def steps(self, client: int, count: int, workload: Workload) -> float:
        """Seconds of the first so many steps of a task."""
        held = workload.samples_of(client)
        if not count or not held:
            return 0.0
        size, batches = workload.batch_size_of(client), workload.batches(client)
        if size is None or size >= held:
            return count * self.step(client, held)
        last = min(held, batches * size) - (batches - 1) * size
        if last == size:
            return count * self.step(client, size)
        passes = count // batches  # of which each ends with a smaller batch
        return (count - passes) * self.step(client, size) + passes * self.step(client, last)

    def seconds_per_sample(self, client: int, batch: int | None) -> float:
        """A speed to compare clients by; a batch of None is a large one."""
        if batch is not None:
            return self.step(client, batch) / batch
        return self.step(client, _LARGE) / _LARGE

    def _drawn(self, client: int) -> tuple[float, float]:
        """A client's attained operations per second, and bytes per second; 0: no limit."""
        streams = self._streams
        flops = draw(self._flops, streams, SPEED, client)
        if self._efficiency is not None:
            flops *= draw(self._efficiency, streams, "compute.efficiency", client)
        moved = 0.0
        if self._bytes is not None:
            moved = draw(self._bytes, streams, "compute.bytes", client)
        return flops, moved


_LARGE = 1 << 40
