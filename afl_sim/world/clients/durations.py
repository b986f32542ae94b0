"""How long the legs of a task take, each drawn when the task is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from afl_sim.errors import ScenarioError
from afl_sim.world.links.network import ClientLink, ServerLink
from afl_sim.world.links.usage import LinkUse
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.tasks.compute import Compute
from afl_sim.world.tasks.task import Task, Timing

_CLIENTS_KEPT = 1 << 14  # a bounded cache: memory must not grow with the population

Transfers = tuple[int, int, int, int, int, int]
"""Of a task's download, then of its upload: microseconds and bytes on the client's link, and the
microseconds of work on the server's."""


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
        task.download_us, task.download_bytes, down, task.upload_us, task.upload_bytes, up = (
            transfers
        )
        if self.server_download.queue is None:
            task.download_us += down
        else:
            task.download_work_us = down
        if self.server_upload.queue is None:
            task.upload_us += up
        else:
            task.upload_work_us = up
        begin_us = task.sent_us + task.download_work_us + task.download_us
        if not task.until_polled:
            task.compute_us = self.compute(client).microseconds(task, begin_us)
        task.due_us = begin_us + task.compute_us + task.upload_us + task.upload_work_us

    def _transfers(self, client: int, number: int, messages: int) -> Transfers:
        down, up = self.download_bytes, self.upload_bytes * messages
        download_us, downloaded = self.download(client).transfer(client, number, down)
        upload_us, uploaded = self.upload(client).transfer(client, number, up)
        down_work_us = self.server_download.work(client, number, down)
        up_work_us = self.server_upload.work(client, number, up)
        transfers = download_us, downloaded, down_work_us, upload_us, uploaded, up_work_us
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
