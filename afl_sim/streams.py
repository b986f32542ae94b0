"""Named random streams: randomness is addressed, not consumed.

Every draw is a pure function of ``(seed, purpose, client, k)``. Nothing here keeps a position, so
the order in which draws are asked for cannot change their values, and two strategies that reach
client 17's third task see the same number there (common random numbers).

Uniform draws come from Squares, the counter-based generator of Widynski, "Squares: A Fast
Counter-Based RNG" (arXiv 2004.06278), five rounds with a 64-bit output: the key is a digest of seed
and purpose, the counter is ``client * 2**32 + k``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence

_MASK = 0xFFFFFFFFFFFFFFFF
_ROW = 64  # draws of a client that are made at once
_LATER = 32  # the first draw of a client that is made together with those after it
_KEPT = 1 << 14  # draws of a purpose that were made and not asked for, at most
_TO_UNIT = 2.0**-52  # with the half added below, neither 0 nor 1 can come out


def stochastic_round(value: float, u: float) -> int:
    """Round to one of the two whole numbers beside ``value``, so that the mean is ``value``.

    A whole number stays as it is, whatever ``u`` is.

    Args:
        value: what to round; what it differs from a decimal number by in floating point is ignored.
        u: a uniform draw in (0, 1).
    """
    value = round(value, 9)
    below = math.floor(value)
    return below + (u < value - below)


class _Key:
    """The key of a Philox generator, in place of the sequence of seeds that NumPy makes of one.

    ``Philox(key=...)`` makes such a sequence, too, and does not use it: that takes twice as long as
    all the rest.
    """

    def __init__(self, key: npt.NDArray[np.uint64]) -> None:
        self._key = key

    def generate_state(
        self, n_words: int, dtype: npt.DTypeLike = np.uint32
    ) -> npt.NDArray[np.uint64]:
        """The key: Philox asks for its two words, once."""
        return self._key


ISeedSequence.register(_Key)


class Streams:
    """All random streams of one seed.

    Args:
        seed: the scenario's seed, ``0 <= seed < 2**63``.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._keys: dict[str, int] = {}
        self._rows: dict[tuple[str, int], int] = {}  # where the last row of a client ended
        self._made: dict[str, dict[int, float]] = {}  # purpose -> counter -> the draw
        self._root = hashlib.sha256(f"afl_sim/{seed}/".encode())

    def uniform(self, purpose: str, client: int = 0, k: int = 0) -> float:
        """A uniform draw in the open interval (0, 1).

        Args:
            purpose: the stream's name, such as ``"compute.jitter"``.
            client: the client's index, ``0 <= client < 2**32``.
            k: the index of the draw on that client (its k-th task), ``0 <= k < 2**32``.
        """
        made = self._made.get(purpose)
        if made is not None:
            draw = made.pop((client << 32) + k, None)
            if draw is not None:
                return draw
            if k >= _LATER and k >= self._rows.get((purpose, client), k):
                return self._make_row(purpose, client, k)
        key = self._keys.get(purpose) or self._key(purpose)
        y = ((client << 32) + k) * key & _MASK
        z = y + key & _MASK
        x = y * y + y & _MASK
        x = x >> 32 | (x & 0xFFFFFFFF) << 32
        x = x * x + z & _MASK
        x = x >> 32 | (x & 0xFFFFFFFF) << 32
        x = x * x + y & _MASK
        x = x >> 32 | (x & 0xFFFFFFFF) << 32
        t = x * x + z & _MASK
        x = t >> 32 | (t & 0xFFFFFFFF) << 32
        bits = t ^ (x * x + y & _MASK) >> 32
        return ((bits >> 12) + 0.5) * _TO_UNIT

    def uniforms(
        self, purpose: str, clients: npt.ArrayLike = 0, ks: npt.ArrayLike = 0
    ) -> npt.NDArray[np.float64]:
        """The same draws as `uniform`, bit for bit, for whole arrays of clients and indices.

        ``clients`` and ``ks`` broadcast against each other; the result has their common shape.
        """
        key = np.uint64(self._keys.get(purpose) or self._key(purpose))
        half = np.uint64(32)
        counter = (np.asarray(clients).astype(np.uint64) << half) + np.asarray(ks).astype(np.uint64)
        with np.errstate(over="ignore"):
            y = counter * key
            z = y + key
            x = y * y + y
            x = x >> half | x << half
            x = x * x + z
            x = x >> half | x << half
            x = x * x + y
            x = x >> half | x << half
            t = x * x + z
            x = t >> half | t << half
            bits = t ^ (x * x + y) >> half
        draws: npt.NDArray[np.float64] = (bits >> np.uint64(12)).astype(np.float64)
        return (draws + 0.5) * _TO_UNIT

    def draw_ahead(self, purpose: str) -> None:
        """From now on make many draws of this purpose at once: those that come next.

        The draws stay the same. It pays for a purpose of which each client is asked for draw after
        draw, each of them once.
        """
        self._made.setdefault(purpose, {})

    def make(
        self, purpose: str, clients: npt.NDArray[np.int64], ks: npt.NDArray[np.int64] | int
    ) -> None:
        """Make draws that are likely to be asked for soon, of a purpose that is drawn ahead."""
        made = self._made[purpose]
        if len(made) > _KEPT:
            made.clear()
        draws = self.uniforms(purpose, clients, ks)
        counters = (clients.astype(np.uint64) << np.uint64(32)) + np.asarray(ks).astype(np.uint64)
        made.update(zip(counters.tolist(), draws.tolist(), strict=True))

    def _make_row(self, purpose: str, client: int, k: int) -> float:
        """A draw, and those of the same client that come after it."""
        if len(self._rows) > _KEPT:
            self._rows.clear()
        self._rows[purpose, client] = k + _ROW
        self.make(purpose, np.full(_ROW, client), np.arange(k, k + _ROW))
        return self._made[purpose].pop((client << 32) + k)

    def integer(self, purpose: str, client: int = 0, k: int = 0) -> int:
        """An integer in ``[0, 2**63)``, for seeding another generator (torch's, per task)."""
        return self._digest(purpose, client, k)[0] >> 1

    def generator(self, purpose: str, client: int = 0, k: int = 0) -> np.random.Generator:
        """A NumPy generator of its own for one address: permutations, many draws at once."""
        key = _Key(np.array(self._digest(purpose, client, k), dtype=np.uint64))
        return np.random.Generator(np.random.Philox(key))  # type: ignore[arg-type]

    def generators(self, purpose: str, clients: Iterable[int]) -> Iterator[np.random.Generator]:
        """`generator` of one client after the other, each good until the next one is asked for.

        It is the same object, with another key: that takes half the time of making one.
        """
        bits = np.random.Philox(0)
        made, state = np.random.Generator(bits), bits.state  # of a generator that drew nothing
        for client in clients:
            state["state"]["key"] = np.array(self._digest(purpose, client, 0), dtype=np.uint64)
            bits.state = state
            yield made

    def _key(self, purpose: str) -> int:
        # Squares wants an odd key with irregular digits, which a digest's are.
        key = self._keys[purpose] = self._digest(purpose, -1, -1)[0] | 1
        return key

    def _digest(self, purpose: str, client: int, k: int) -> tuple[int, int]:
        hasher = self._root.copy()
        hasher.update(f"{purpose}/{client}/{k}".encode())
        digest = hasher.digest()
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")

    def __reduce__(self) -> tuple[type[Streams], tuple[int]]:
        return Streams, (self.seed,)  # what it keeps of its draws does not travel

    def __repr__(self) -> str:
        return f"Streams(seed={self.seed})"
