"""The energy of an update in a closed Jackson network with transfers (Generalized AsyncSGD).

m tasks are in flight. A task of client i, which is drawn with probability p_i, is downloaded in
d_i, waits its turn, is computed in an exponential time of mean T_i, and is uploaded in u_i. The
transfers delay nobody else, so only their means matter. With G of `delayed_sums` updates come at
the rate L = G_(m-1)/G_m, and each of them has taken

    sum_i p_i (d_i W_d + T_i W_c + u_i W_u)

joules of client i's power in its phases. Client i is idle for the share `without_tasks` of the
time, which is as much power for 1/L seconds each update. That a queueing network gives the energy
of asynchronous SGD is the idea of Alahyane, Comte and Jonckheere, "Optimization Trade-offs in
Asynchronous Federated Learning" (arXiv 2603.26231), of which only the abstract was read; the
formulas here were derived anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from afl_sim.theory.formulas import delayed_sums, network_rate, without_tasks
from afl_sim.theory.oracle import EXPONENTIAL, Experiment, Oracle, fleet


@dataclass(frozen=True)
class Devices:
    """Clients: seconds of each leg, power in each phase (watts), and how often they are drawn."""

    down: tuple[float, ...]
    compute: tuple[float, ...]
    up: tuple[float, ...]
    watts_down: float
    watts_compute: tuple[float, ...]
    watts_up: float
    watts_idle: tuple[float, ...]
    drawn: tuple[float, ...]


FEW = Devices(
    down=(0.2, 0.2, 0.2, 0.2),
    compute=(1.0, 0.4, 2.0, 0.5),
    up=(0.5, 1.0, 0.5, 2.0),
    watts_down=1.0,
    watts_compute=(4.0, 9.0, 3.0, 6.0),
    watts_up=2.0,
    watts_idle=(0.5, 1.5, 0.2, 1.0),
    drawn=(0.3, 0.4, 0.1, 0.2),
)
TASKS = 3


def active(devices: Devices) -> float:
    """Joules of an update in its phases."""
    d = devices
    legs = zip(d.drawn, d.down, d.compute, d.up, d.watts_compute, strict=True)
    return sum(
        p * (down * d.watts_down + compute * watts + up * d.watts_up)
        for p, down, compute, up, watts in legs
    )


def idle(devices: Devices, m: int) -> float:
    """Joules of clients without a task, for each update."""
    ratios, delays = _ratios(devices), _delays(devices)
    sums = delayed_sums(ratios, delays, m)
    return sum(
        watts * without_tasks(client, ratios, delays, m) * sums[m] / sums[m - 1]
        for client, watts in enumerate(devices.watts_idle)
    )


def _ratios(devices: Devices) -> list[float]:
    return [p * time for p, time in zip(devices.drawn, devices.compute, strict=True)]


def _delays(devices: Devices) -> list[float]:
    d = devices
    return [p * (down + up) for p, down, up in zip(d.drawn, d.down, d.up, strict=True)]


def _experiment(devices: Devices, m: int, idles: bool) -> Experiment:
    d = devices
    power = {
        "download": d.watts_down,
        "compute": {"values": list(d.watts_compute)},
        "upload": d.watts_up,
        "idle": {"values": list(d.watts_idle)} if idles else 0,
    }
    strategy = {"kind": "generalized_asyncsgd", "concurrency": m, "sampling": list(d.drawn)}
    fields = fleet(
        len(d.drawn),
        strategy,
        {"seconds_per_task": {"values": list(d.compute)}, **EXPONENTIAL},
        updates=6200,
        network={
            "download": {"latency": {"values": list(d.down)}},
            "upload": {"latency": {"values": list(d.up)}},
        },
        devices={"power": power},
    )
    return Experiment(fields, 200)


def _share_idle(devices: Devices, m: int, busy: Sequence[float]) -> float:
    """Idle energy if clients were idle whenever they do not compute: a plausible mistake."""
    sums = delayed_sums(_ratios(devices), _delays(devices), m)
    each = sums[m] / sums[m - 1]
    return sum(w * (each - r) for w, r in zip(devices.watts_idle, busy, strict=True))


def oracles() -> Iterator[Oracle]:
    """The rate of a network with transfers, and the energy of its updates."""
    ratios, delays = _ratios(FEW), _delays(FEW)
    sums = delayed_sums(ratios, delays, TASKS)
    about = f"n = {len(FEW.drawn)}, m = {TASKS}, transfers"
    both, phases = _experiment(FEW, TASKS, True), _experiment(FEW, TASKS, False)
    yield Oracle(
        "energy.rate",
        f"closed Jackson network with delays: seconds/update = G_m/G_(m-1), {about}",
        sums[TASKS] / sums[TASKS - 1],
        phases,
        lambda run: run.seconds_each,
        (1 / network_rate(TASKS, ratios), sum(ratios) + sum(delays)),
    )
    in_phases = active(FEW)
    computing = sum(
        p * t * w for p, t, w in zip(FEW.drawn, FEW.compute, FEW.watts_compute, strict=True)
    )
    yield Oracle(
        "energy.phases",
        f"joules/update = sum_i p_i (d_i W_d + T_i W_c + u_i W_u), {about}",
        in_phases,
        phases,
        lambda run: run.joules_each,
        (computing, in_phases / len(FEW.drawn)),
    )
    yield Oracle(
        "energy.idle",
        f"the same and sum_i W_idle P(no task at i) G_m/G_(m-1), {about}",
        in_phases + idle(FEW, TASKS),
        both,
        lambda run: run.joules_each,
        (
            in_phases,
            in_phases + _share_idle(FEW, TASKS, ratios),
            in_phases + idle(FEW, TASKS - 1),
        ),
    )
