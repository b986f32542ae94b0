"""How long the legs of a task take, each drawn when the task is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.world.links.network import ClientLink, ServerLink
from afl_sim.world.links.usage import LinkUse
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.tasks.compute import Compute
from afl_sim.world.tasks.task import Task, Timing

_CLIENTS_KEPT = 1 << 14  # a bounded cache: memory must not grow with the population

Ints = npt.NDArray[np.int64]
Transfers = tuple[int, int, int, int, int, int]
"""Of a task's download, then of its upload: microseconds and bytes, and the microseconds of work on
the server's link, if transfers contend for it."""


@dataclass(eq=False)
class Durations:
    """The models of computation and network that a scenario describes.

    Attributes:
        compute: gives how long a client computes.
        download, upload: give a client's own links.
        server_download, server_upload: the server's links, which all clients use.
        download_bytes: size of the model that a client downloads.
        upload_bytes: size of the update that a client uploads.
        vary: whether a computation may take longer or shorter than was drawn when it was sent.
        steady: whether the transfers of all tasks of a client are alike.
        alike: whether the same laws hold for all clients.
        per_task, per_client: the streams of what is drawn for each task and for each client.
    """

    compute: Callable[[int], Compute]
    download: Callable[[int], ClientLink]
    upload: Callable[[int], ClientLink]
    server_download: ServerLink
    server_upload: ServerLink
    download_bytes: int
    upload_bytes: int
    vary: bool
    steady: bool
    alike: bool
    per_task: Sequence[str]
    per_client: Sequence[str]
    # The transfers of clients, where those of all tasks of a client are alike.
    _kept: dict[int, Transfers] = field(default_factory=dict, init=False, repr=False)

    def plan(self, task: Task) -> None:
        """Draw how long each leg will take, and so when the update is due at the earliest."""
        client = task.client
        messages = task.order.messages
        transfers = self._kept.get(client) if messages == 1 else None
        if transfers is None:
            transfers = self._transfers(client, task.number, messages)
        compute_us = 0
        if not task.until_polled:
            begin_us = task.sent_us + transfers[0] + transfers[2]
            compute_us = self.compute(client).microseconds(task, begin_us)
        task.plan((task.steps, task.samples, compute_us, *transfers))

    @property
    def in_blocks(self) -> bool:
        """Whether `all_transfers`, and `Compute.all_microseconds` of any client, can be asked."""
        return self.alike and not self.vary and self.compute(0).in_blocks

    def all_transfers(self, clients: Ints, numbers: Ints) -> Ints:
        """The transfers of many tasks, shape (tasks, 6); -1 where one may raise an error."""
        down, up = self.download_bytes, self.upload_bytes
        download_us, downloaded = self.download(0).transfers(clients, numbers, down)
        upload_us, uploaded = self.upload(0).transfers(clients, numbers, up)
        down_us = self.server_download.works(clients, numbers, down)
        up_us = self.server_upload.works(clients, numbers, up)
        legs = [download_us, downloaded, down_us, upload_us, uploaded, up_us]
        known = np.minimum.reduce(legs) >= 0
        if self.server_download.queue is None:
            legs[0], legs[2] = download_us + down_us, np.zeros_like(down_us)
        if self.server_upload.queue is None:
            legs[3], legs[5] = upload_us + up_us, np.zeros_like(up_us)
        return np.where(known, legs, -1).T

    def _transfers(self, client: int, number: int, messages: int) -> Transfers:
        down, up = self.download_bytes, self.upload_bytes * messages
        download_us, downloaded = self.download(client).transfer(client, number, down)
        upload_us, uploaded = self.upload(client).transfer(client, number, up)
        down_us = self.server_download.work(client, number, down)
        up_us = self.server_upload.work(client, number, up)
        if self.server_download.queue is None:
            download_us, down_us = download_us + down_us, 0
        if self.server_upload.queue is None:
            upload_us, up_us = upload_us + up_us, 0
        transfers = download_us, downloaded, down_us, upload_us, uploaded, up_us
        if self.steady and messages == 1:
            if len(self._kept) >= _CLIENTS_KEPT:
                self._kept.clear()
            self._kept[client] = transfers
        return transfers

    def expected_seconds(self, client: int) -> float:
        """The mean round trip of the client's tasks, where none has to wait for a link.

        Raises:
            ScenarioError: there is no finite mean, because a law has too heavy a tail.
        """
        down, up = self.download_bytes, self.upload_bytes
        seconds = (
            self.compute(client).expected_seconds(client)
            + self.server_download.expected_seconds(client, down)
            + self.download(client).expected_seconds(client, down)
            + self.upload(client).expected_seconds(client, up)
            + self.server_upload.expected_seconds(client, up)
        )
        if not seconds < math.inf:
            raise ScenarioError(
                f"clients: the tasks of client {client} have no finite mean duration, so that its "
                "speed is not known; expected distributions with a finite mean"
            )
        return seconds

    def expected_parts(self, client: int) -> tuple[float, float]:
        """The mean seconds of a local step of the client, and of the upload of one message.

        Raises:
            ScenarioError: as `expected_seconds`.
        """
        self.expected_seconds(client)
        up = self.upload_bytes
        seconds = self.upload(client).expected_seconds(client, up)
        seconds += self.server_upload.expected_seconds(client, up)
        return self.compute(client).expected_step_seconds(client), seconds

    def expected_steps(
        self, client: int, most: int, every: float, chance: float
    ) -> tuple[float, float]:
        """What a poll finds: the mean number of steps, and the chance of at least one.

        See `ServerView.expected_steps`.
        """
        size = self.download_bytes
        before = self.server_download.usual_seconds(client, size)
        before += self.download(client).usual_seconds(client, size)
        return self.compute(client).expected_steps(client, most, every, chance, before)

    def timing(self, task: Task) -> Timing:
        """What the client of a task that was done as planned reports of its time."""
        first_us = self.compute(task.client).before_steps_us(task)
        waited, computed = task.queued_us + first_us, task.compute_us - first_us
        return Timing(waited / MICROSECONDS, computed / MICROSECONDS)

    def usual_seconds(self, client: int) -> dict[str, float]:
        """About how long each leg of the client's tasks takes, by its key in the scenario."""
        down, up = self.download_bytes, self.upload_bytes
        return {
            "clients.compute": self.compute(client).usual_seconds(client),
            "clients.network.download": self.download(client).usual_seconds(client, down),
            "clients.network.upload": self.upload(client).usual_seconds(client, up),
            "server.download": self.server_download.usual_seconds(client, down),
            "server.upload": self.server_upload.usual_seconds(client, up),
        }

    @property
    def contended(self) -> bool:
        """Whether transfers of different tasks contend for a link of the server."""
        return bool(self.server_download.queue or self.server_upload.queue)

    def link_uses(self, time_us: int) -> dict[str, LinkUse]:
        """What the server's contended links were used for until now, by their key."""
        links = {"download": self.server_download, "upload": self.server_upload}
        return {
            name: link.queue.use(time_us) for name, link in links.items() if link.queue is not None
        }
