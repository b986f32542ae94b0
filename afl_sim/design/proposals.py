"""Optuna proposes the points of a design, and keeps a study of them."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from afl_sim.design.space import Space
from afl_sim.errors import InputError
from afl_sim.recording.files import write_bytes
from afl_sim.streams import Streams

STUDY_FILE: Final = "optuna.log"
_STARTUP: Final = 20  # points that are drawn at random, before their values tell anything
_AGAIN: Final = 20  # attempts at a new point for each that is wanted


def import_optuna() -> Any:
    """Optuna, which tells nothing by itself.

    Raises:
        InputError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise InputError(
            "a design needs Optuna, which is not installed; the extra [design] installs it: "
            "pip install 'afl-sim[design]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Proposals:
    """The points that are considered, each with its number from 0.

    A space with few enough points is gone through in order. Another one is sampled: at random at
    first, then by what is known of the points so far (a tree-structured Parzen estimator). The
    draw of a point depends on the seed, its number and the values that were told before.

    Args:
        space: what may vary.
        seed: of the draws.
        most: the number of points.
    """

    def __init__(self, space: Space, seed: int, most: int) -> None:
        self._optuna = import_optuna()
        self._space = space
        self._streams = Streams(seed)
        self._most = most
        self._asked: dict[str, int] = {}
        self._trials: dict[int, Any] = {}
        self._values: dict[int, float] = {}
        self._counter = itertools.count()
        self.is_whole = space.size <= most
        self._points = space.points() if self.is_whole else None
        self._study = self._optuna.create_study(
            study_name="design", direction="maximize", storage=None
        )

    @property
    def expected(self) -> int:
        """The number of points that will be proposed at most."""
        return int(self._space.size) if self.is_whole else self._most

    def next(self, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The next points, at most so many: fewer if there are no new ones."""
        attempts = _AGAIN * count
        while count > 0 and len(self._asked) < self._most and attempts > 0:
            attempts -= 1
            point, trial = self._ask()
            if point is None:
                return
            key = repr(sorted(point.items()))
            if key in self._asked:
                # What is drawn again says what it said before.
                value = self._values.get(self._asked[key])
                self._finish(trial, value)
                continue
            number = next(self._counter)
            self._asked[key] = number
            self._trials[number] = trial
            count -= 1
            yield number, point

    def tell(self, number: int, value: float | None) -> None:
        """Tell how good a point is, the larger the better; None if it cannot be used."""
        if value is not None:
            self._values[number] = value
        self._finish(self._trials[number], value)

    def _ask(self) -> tuple[dict[str, Any] | None, Any]:
        optuna = self._optuna
        if self._points is not None:
            point = next(self._points, None)
            if point is None:
                return None, None
            self._study.enqueue_trial(point)
        else:
            seed = self._streams.integer("design", 0, len(self._study.trials)) % 2**32
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what Optuna calls experimental
                self._study.sampler = optuna.samplers.TPESampler(
                    seed=seed, n_startup_trials=_STARTUP, multivariate=False, constant_liar=True
                )
        trial = self._study.ask()
        return self._space.suggest(trial), trial

    def _finish(self, trial: Any, value: float | None) -> None:
        if value is None or not math.isfinite(value):
            self._study.tell(trial, -1.0)  # below any value: points like it are avoided
        else:
            self._study.tell(trial, value)

    def write(self, folder: Path, known: Mapping[int, Mapping[str, Any]]) -> None:
        """Write the study for Optuna's own tools, with what became of each point.

        The file is always written as a whole, so that it is never half a study.

        Args:
            folder: where ``optuna.log`` goes.
            known: by number ``value`` (None if it was not trained), ``rungs`` (the value at each
                rung) and ``attributes``.
        """
        optuna = self._optuna
        states, make = optuna.trial.TrialState, optuna.trial.create_trial
        trials = []
        for number, facts in sorted(known.items()):
            trial = self._trials[number]
            value, rungs = facts["value"], dict(enumerate(facts["rungs"]))
            state = states.FAIL if value is None else states.COMPLETE
            if value is not None and facts["attributes"]["fate"] == "stopped":
                state = states.PRUNED
            trials.append(
                make(
                    params=trial.params,
                    distributions=trial.distributions,
                    value=value if state == states.COMPLETE else None,
                    state=state,
                    intermediate_values=rungs,
                    user_attrs=dict(facts["attributes"]),
                )
            )
        draft = folder / f".{STUDY_FILE}.tmp"
        journal = optuna.storages.journal
        with suppress(FileNotFoundError):
            draft.unlink()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(draft)))
            study = optuna.create_study(study_name="design", storage=storage, direction="maximize")
            study.add_trials(trials)
        content = draft.read_bytes()
        os.unlink(draft)
        write_bytes(folder / STUDY_FILE, content)
