"""Workers on a Ray cluster: actors that do the same tasks, on whichever machine has room.

Parameters go through Ray's object store: a base version is put there once, for all of its tasks,
and the data set once for all workers. An actor or a machine that dies is replaced, if the cluster
has room for another, and what it had in hand is done again.
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

_ASK_WITHIN = 5.0  # seconds for an actor to say how far it is
_MODE = "RAY_AUTH_MODE"  # Ray itself sets it where it decides to use a token
_TOKEN = (
    f"a cluster that asks for a token wants {_MODE}=token in the environment, and the token in "
    "~/.ray/auth_token (or in the file RAY_AUTH_TOKEN_PATH, or in RAY_AUTH_TOKEN)"
)


def import_ray() -> Any:
    """The package ray, which is an extra.

    Raises:
        InputError: it is not installed.
    """
    # A run tells nobody that it runs.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Actors that ask for no GPU are not to lose sight of the machine's.
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
        address: where it is; None for one on this machine that ends with the block.
        workers: how many are wanted.

    Raises:
        InputError: there is no ray, or no cluster there.
    """
    if address is not None and "://" in address:
        raise InputError(
            f"execution.ray_address: got {address}; expected auto or host:port, this machine being "
            "one of the cluster's"
        )
    ray = import_ray()
    if ray.is_initialized():  # whoever did that ends it, too
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
    """A Ray cluster, and what was put into its object store for more than one request."""

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
        # A user's own modules are found where this process finds them, if the machine has that.
        path = [os.path.abspath(entry) for entry in sys.path]
        return RaySeat(self, self._actor.remote(path), numerics)

    def arguments(self, request: Request) -> tuple[Any, ...]:
        """What `_RayWorker.do` is to be called with; all that is large stands there by reference.

        Versions leave the store when nothing in this process holds them any more.
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
        # In a tuple, a reference is sent as it is: a worker asks for the content once.
        sent = None if supply is None else self._supplies[supply.name]
        return request.what, request.build, base, origin, request.arguments, sent


class RaySeat:
    """A worker that is an actor.

    Args:
        cluster: where.
        actor: its handle.
        numerics: what it is to introduce itself with.
    """

    def __init__(self, cluster: Cluster, actor: Any, numerics: Sequence[Numerics]) -> None:
        self._cluster = cluster
        self._ray = cluster.ray
        self._actor = actor
        self._numerics = numerics

    def start(self, done: OnReply) -> None:
        """Ask it to introduce itself, as soon as it is there."""

        def begun(reply: Reply) -> None:
            if reply.lost and os.environ.get(_MODE) == "token":
                # Such a cluster takes the command in, and then cannot start a worker for it.
                why = str(reply.error).rstrip(". ")
                why += f"; if the cluster has no token, set {_MODE}=disabled"
                reply = replace(reply, error=AflSimError(why))
            done(reply)

        self._hand(begun, self._actor.hello.remote(self._numerics))

    def submit(self, request: Request, done: OnReply) -> None:
        """Send a request, and put what it needs into the object store."""
        self._hand(done, self._actor.do.remote(*self._cluster.arguments(request)))

    def ask(self, stop: bool) -> Any:
        """The latest message of the call in hand, or None; and tell it whether to stop."""
        asked = self._actor.exchange.options(concurrency_group="talk").remote(stop)
        with suppress(self._ray.exceptions.RayError):  # gone or busy; the pool hears of the former
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
    """Ray takes SIGTERM for itself when it is imported; put back what was there."""
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
    """The actor. Its calls come in threads of Ray's, those that `talk` beside the others."""

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
    """What a call and `exchange` leave for each other."""

    def __init__(self) -> None:
        self.message: Any = None
        self.stop = False

    def tell(self, message: Any) -> None:
        self.message = message

    def stop_wanted(self) -> bool:
        return self.stop
