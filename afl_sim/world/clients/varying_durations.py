"""How long the legs of a task take where the bandwidth of clients' links changes in time.

A transfer then takes longer or shorter by when it begins. Everything is planned when a task is
sent, as elsewhere; what begins at another time than planned is planned again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from afl_sim.world.clients.durations import Durations
from afl_sim.world.links.course import Course
from afl_sim.world.links.network import ClientLink
from afl_sim.world.links.varying import VaryingLink
from afl_sim.world.tasks.task import Task

Direction = Literal["download", "upload"]


@dataclass(eq=False)
class VaryingDurations(Durations):
    """The models of computation and network, some of whose links vary in time."""

    def plan(self, task: Task) -> None:
        """Draw how long each leg will take if none has to wait, and so when the update is due."""
        client, number = task.client, task.number
        if self.server_download.queue is not None:
            task.download_work_us = self.server_download.work(client, number, self.download_bytes)
        if self.server_upload.queue is not None:
            task.upload_work_us = self.server_upload.work(client, number, self._upload_size(task))
        begin_us = task.sent_us + task.download_work_us
        task.download_us = 0
        self.plan_download(task, begin_us)
        begin_us += task.download_us
        if not task.until_polled:
            task.compute_us = self.compute(client).microseconds(task, begin_us)
        begin_us += task.compute_us
        self.plan_upload(task, begin_us)
        task.due_us = begin_us + task.upload_us + task.upload_work_us

    def plan_download(self, task: Task, begin_us: int) -> None:
        """Set how long the download takes once the server's contended link is passed."""
        if task.download_us and begin_us == task.sent_us + task.download_work_us:
            return  # as planned
        task.download_us, task.download_bytes = self._transfer(task, "download", begin_us)

    def plan_upload(self, task: Task, begin_us: int) -> None:
        """Set how long the upload takes until the server's contended link is reached."""
        task.interrupted = None
        if task.upload_begins_us == begin_us:
            return  # as planned
        task.upload_begins_us = begin_us
        task.upload_us, task.upload_bytes = self._transfer(task, "upload", begin_us)

    def put_off_upload(self, task: Task, begin_us: int) -> None:
        """Plan the upload again, which begins later, and so when the update is due."""
        self.plan_upload(task, begin_us)
        task.due_us = begin_us + task.upload_us + task.upload_work_us

    def varies(self, client: int) -> bool:
        """Whether a transfer of the client's takes longer or shorter by when it begins."""
        return self.download(client).varies or self.upload(client).varies

    def interrupt(self, task: Task, direction: Direction, now_us: int) -> None:
        """The transfer of a leg stops now, until `go_on`."""
        link = self._link(task, direction)
        if isinstance(link, VaryingLink):
            if task.interrupted is None:
                planned_us = task.download_us if direction == "download" else task.upload_us
                course = self._whole(link, task, direction)[0]
                since_us = task.leg_ends_us - planned_us
            else:
                since_us, course = task.interrupted
            task.interrupted = now_us, link.left(task.client, since_us, course, now_us)

    def left(self, task: Task) -> Course | None:
        """What was left of a transfer when it was last interrupted; None if it was not."""
        return None if task.interrupted is None else task.interrupted[1]

    def go_on(self, task: Task, direction: Direction, now_us: int) -> int | None:
        """How long the rest of an interrupted transfer takes from now on.

        None if that does not depend on when it goes on.
        """
        link = self._link(task, direction)
        if not isinstance(link, VaryingLink):
            return None
        assert task.interrupted is not None
        left = task.interrupted[1]
        task.interrupted = now_us, left
        return link.end_of_transfer(task.client, now_us, left) - now_us

    def _link(self, task: Task, direction: Direction) -> ClientLink:
        return self.download(task.client) if direction == "download" else self.upload(task.client)

    def _transfer(self, task: Task, direction: Direction, begin_us: int) -> tuple[int, int]:
        """Microseconds and bytes of a transfer."""
        link = self._link(task, direction)
        if isinstance(link, VaryingLink):
            course, sent = self._whole(link, task, direction)
            return link.end_of_transfer(task.client, begin_us, course) - begin_us, sent
        size, fixed_us = self._on_server(task, direction)
        us, sent = link.transfer(task.client, task.number, size)
        return us + fixed_us, sent

    def _whole(self, link: VaryingLink, task: Task, direction: Direction) -> tuple[Course, int]:
        size, fixed_us = self._on_server(task, direction)
        before_us, after_us = (fixed_us, 0) if direction == "download" else (0, fixed_us)
        return link.course(task.client, task.number, size, before_us, after_us)

    def _on_server(self, task: Task, direction: Direction) -> tuple[int, int]:
        """The bytes of a transfer, and its microseconds on a link of the server without a queue."""
        if direction == "download":
            size, server = self.download_bytes, self.server_download
        else:
            size, server = self._upload_size(task), self.server_upload
        fixed = server.work(task.client, task.number, size) if server.queue is None else 0
        return size, fixed

    def _upload_size(self, task: Task) -> int:
        return self.upload_bytes * task.order.messages
