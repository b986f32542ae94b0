"""Workers on a Ray cluster: actors on any machine that has room.

Parameters go through Ray's object store. A base version is put there once for all of its tasks, and
the data set once for all workers. If an actor or a machine dies, it is replaced as soon as the
cluster has room, and its tasks are done again.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator, MutableMapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from afl_sim.errors import AflSimError, InputError
from afl_sim.execution.numerics import deterministic
from afl_sim.execution.pulse import end_what_is_stuck
from afl_sim.execution.workers.worker import OnReply, Reply, Request, Worker, hello
from afl_sim.scenario.sections.settings import Numerics

_ASK_WITHIN = 5.0  # seconds to wait for an actor's message
_MODE = "RAY_AUTH_MODE"  # Ray sets it itself if it decides to use a token
_TOKEN = (
    f"if the cluster uses a token, set {_MODE}=token in the environment, and put the token in "
    "~/.ray/auth_token (or in the file RAY_AUTH_TOKEN_PATH, or in RAY_AUTH_TOKEN)"
)


def import_ray() -> Any:
    """The package ray, which is an extra.

    Raises:
        InputError: it is not installed.
    """
    # A run sends no usage statistics.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # An actor that asks for no GPU should still see the machine's GPUs.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        with _signals_kept():
            import ray
    except ImportError as error:
        raise InputError(
            f"execution.executor: ray needs the package ray ({error}); install it with "
            "pip install 'afl-sim[ray]'"
        ) from None
    return ray


@contextmanager
def cluster(address: str | None, workers: int) -> Iterator[Cluster]:
    """A connection to a Ray cluster.

    Args:
        address: of the cluster; None for one on this machine that ends with the block.
        workers: number of workers that are wanted.

    Raises:
        InputError: ray is not installed, or there is no cluster at the address.
    """
    if address is not None and "://" in address:
        raise InputError(
            f"execution.ray_address: got {address}; expected auto or host:port of a cluster that "
            "this machine belongs to"
        )
    ray = import_ray()
    if ray.is_initialized():  # the caller did, and ends it
        yield Cluster(ray)
        return
    local = {"num_cpus": workers, "include_dashboard": False}
    try:
        with _signals_kept():
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level="ERROR",
                **({} if address else local),
            )
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        where = f"the cluster at {address}" if address else "a cluster on this machine"
        said = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
        hint = f"; {_TOKEN}" if address else ""
        raise InputError(f"execution.ray_address: cannot use {where}: {said}{hint}") from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


class Cluster:
    """A Ray cluster, and what several requests share in its object store."""

    def __init__(self, ray: Any) -> None:
        self.ray = ray
        self.processors = int(ray.cluster_resources().get("CPU", 0))
        self._versions: MutableMapping[Tensor, dict[str, Any]] = WeakTensorKeyDictionary()
        self._supplies: dict[str, Any] = {}
        self._actor = ray.remote(
            num_cpus=1, concurrency_groups={"talk": 1}, scheduling_strategy="SPREAD"
        )(_RayWorker)

    def seat(self, numerics: Sequence[Numerics]) -> RaySeat:
        """A new worker, which starts when the cluster has room for it."""
        # The user's own modules are searched in the same folders, if the machine has them.
        path = [os.path.abspath(entry) for entry in sys.path]
        return RaySeat(self, self._actor.remote(path), numerics)

    def arguments(self, request: Request) -> tuple[Any, ...]:
        """The arguments of `_RayWorker.do`; large ones are references.

        A version leaves the store when nothing in this process holds it any more.
        """
        base = origin = None
        if request.base is not None:
            held = self._versions.setdefault(request.base, {})
            if "base" not in held:
                held["base"] = self.ray.put(request.base.numpy())
            base = held["base"]
            if request.origin is not None:
                if "origin" not in held:
                    held["origin"] = self.ray.put(pickle.dumps(request.origin, protocol=5))
                origin = held["origin"]
        supply = request.supply
        if supply is not None and supply.name not in self._supplies:
            packed = pickle.dumps(supply.install)
            self._supplies[supply.name] = (supply.name, packed, self.ray.put(supply.load()))
        # In a tuple a reference stays a reference, and a worker gets its content only once.
        sent = None if supply is None else self._supplies[supply.name]
        return request.what, request.build, base, origin, request.arguments, sent


class RaySeat:
    """A worker that is an actor.

    Args:
        cluster: the cluster.
        actor: the handle of the actor.
        numerics: the numerics whose fingerprints it introduces itself with.
    """

    def __init__(self, cluster: Cluster, actor: Any, numerics: Sequence[Numerics]) -> None:
        self._cluster = cluster
        self._ray = cluster.ray
        self._actor = actor
        self._numerics = numerics

    def start(self, done: OnReply) -> None:
        """Ask the actor to introduce itself as soon as it has started."""

        def begun(reply: Reply) -> None:
            if reply.lost and os.environ.get(_MODE) == "token":
                # Such a cluster accepts the connection, and then cannot start a worker.
                why = str(reply.error).rstrip(". ")
                why += f"; if the cluster has no token, set {_MODE}=disabled"
                reply = replace(reply, error=AflSimError(why))
            done(reply)

        self._hand(begun, self._actor.hello.remote(self._numerics))

    def submit(self, request: Request, done: OnReply) -> None:
        """Send a request, and put its large arguments into the object store."""
        self._hand(done, self._actor.do.remote(*self._cluster.arguments(request)))

    def ask(self, stop: bool) -> Any:
        """Return the current call's latest message, or None; and say whether it should stop."""
        asked = self._actor.exchange.options(concurrency_group="talk").remote(stop)
        with suppress(self._ray.exceptions.RayError):  # gone or busy; the pool learns if it is gone
            return self._ray.get(asked, timeout=_ASK_WITHIN)
        return None

    def close(self) -> None:
        """End the actor."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)

    def _hand(self, done: OnReply, reference: Any) -> None:
        task_error = self._ray.exceptions.RayTaskError

        def finished(future: Future[Reply]) -> None:
            error = future.exception()
            if error is None:
                done(future.result())
            elif isinstance(error, task_error):
                done(Reply(error=AflSimError(f"a Ray worker failed: {_last_line(error)}")))
            else:
                done(Reply(error=error, lost=True))

        reference.future().add_done_callback(finished)


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1]


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore the signal handlers that Ray replaces when it is imported."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- in the worker -----------------------------------------------------------------------------


class _RayWorker:
    """The actor. Ray calls it from its own threads; calls of the group "talk" run beside others."""

    def __init__(self, path: Sequence[str]) -> None:
        sys.path += [entry for entry in path if entry not in sys.path]
        self._line = _Line()
        self._worker = Worker(self._line)
        self._supplied: set[str] = set()

    def hello(self, numerics: Sequence[Numerics]) -> Reply:
        with deterministic():
            return Reply(hello(numerics))

    def do(
        self,
        what: str,
        build: bytes,
        base: Any,
        origin: bytes | None,
        arguments: tuple[Any, ...],
        supply: tuple[str, bytes, Any] | None,
    ) -> Reply:
        self._line.stop = False
        self._line.message = None
        if supply is not None and supply[0] not in self._supplied:
            import ray

            name, install, content = supply
            pickle.loads(install)(ray.get(content))
            self._supplied.add(name)
        with deterministic():
            strategy_and_state = None if origin is None else pickle.loads(origin)
            return self._worker.do(what, build, base, strategy_and_state, arguments)

    def exchange(self, stop: bool) -> Any:
        if stop and not self._line.stop:
            self._line.stop = True
            watch = threading.Thread(
                target=end_what_is_stuck, args=(self._line.stop_wanted,), daemon=True
            )
            watch.start()
        return self._line.message


class _Line:
    """The line of a call: `exchange` reads its messages and leaves word whether to stop."""

    def __init__(self) -> None:
        self.message: Any = None
        self.stop = False

    def tell(self, message: Any) -> None:
        self.message = message

    def stop_wanted(self) -> bool:
        return self.stop
