"""The clients in virtual time: each task is downloaded, computed and uploaded.

A client costs nothing until it is sent a task, and one chain of events per task afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

import simpy

from afl_sim.world import event_kinds
from afl_sim.world.availability.outages import Outages
from afl_sim.world.clients.legs import Legs, Pause
from afl_sim.world.links.network import ClientLink, ServerLink
from afl_sim.world.links.usage import LinkUse
from afl_sim.world.tasks.compute import Compute
from afl_sim.world.tasks.faults import Faults
from afl_sim.world.tasks.task import Phase, Task
from afl_sim.world.tasks.workload import Workload

Record = Callable[[int, Task, int], None]
"""Logs an event: its kind, the task, and the bytes that were moved."""

_NESTED = 32  # uploads, one inside the other


class Fleet(Legs):
    """Takes tasks through their legs and delivers the updates.

    Args:
        env: the SimPy environment; its clock counts microseconds.
        workload: how much a task is.
        compute: how long a client computes.
        download, upload: the clients' own links.
        server_download, server_upload: the server's links, which all clients use.
        model_bytes: size of the model that a client downloads.
        update_bytes: size of the update that a client uploads.
        record: called at the end of each leg.
        deliver: called when an update has reached the server.
        fail: called when a task comes to nothing.
        outages: when the server is down.
        faults: what goes wrong; None is nothing.
    """

    def __init__(
        self,
        env: simpy.Environment,
        workload: Workload,
        compute: Compute,
        download: ClientLink,
        upload: ClientLink,
        server_download: ServerLink,
        server_upload: ServerLink,
        model_bytes: int,
        update_bytes: int,
        record: Record,
        deliver: Callable[[Task], None],
        fail: Callable[[Task], None],
        outages: Outages,
        faults: Faults | None = None,
    ) -> None:
        super().__init__(env)
        self.workload = workload
        self._compute = compute
        self._download = download
        self._upload = upload
        self._server_download = server_download
        self._server_upload = server_upload
        self._download_bytes = model_bytes
        self._upload_bytes = update_bytes
        self._record = record
        self._deliver = deliver
        self._fail = fail
        self._outages = outages
        self._faults = faults
        self.on_launch: Callable[[Task], None] | None = None

    @property
    def punctual(self) -> bool:
        """Whether no task can arrive later than it is due when it is sent."""
        if self._outages.happen or (self._faults is not None and self._faults.loses_uploads):
            return False
        return not any(link.queue for link in (self._server_download, self._server_upload))

    @property
    def varies(self) -> bool:
        """Whether a task's computation may take another time than it was planned to."""
        return self._compute.varies

    def link_uses(self, time_us: int) -> dict[str, LinkUse]:
        """What the server's contended links were used for until now, by their key."""
        links = {"download": self._server_download, "upload": self._server_upload}
        return {
            name: link.queue.use(time_us) for name, link in links.items() if link.queue is not None
        }

    def plan(self, task: Task) -> None:
        """Draw how long each leg will take, and so when the update is due at the earliest."""
        client, number = task.client, task.number
        down, up = self._download_bytes, self._upload_bytes
        task.download_us, task.download_bytes = self._download.transfer(client, number, down)
        task.upload_us, task.upload_bytes = self._upload.transfer(client, number, up)
        down = self._server_download.work(client, number, down)
        up = self._server_upload.work(client, number, up)
        if self._server_download.queue is None:
            task.download_us += down
        else:
            task.download_work_us = down
        if self._server_upload.queue is None:
            task.upload_us += up
        else:
            task.upload_work_us = up
        begin_us = task.sent_us + task.download_work_us + task.download_us
        if not task.until_polled:
            task.compute_us = self._compute.microseconds(task, begin_us)
        task.due_us = begin_us + task.compute_us + task.upload_us + task.upload_work_us

    def launch(self, task: Task) -> None:
        """Send a task on its way. A leg that takes no time is passed at once, without an event."""
        if task.download_work_us:
            self._cross(self._server_download, task, task.download_work_us, self._sent_down)
        else:
            self._download_on(task)
        if self.on_launch is not None and task.in_flight:
            self.on_launch(task)

    def pause(self, task: Task) -> None:
        """Interrupt the task where it is."""
        if self._compute.varies and task.phase is Phase.COMPUTING:
            elapsed = int(self.env.now) - task.computing_since_us
            task.worked_us += self._compute.work(task, elapsed)
        super().pause(task)
        pause = self._paused[task]
        if pause.then == self._reach:
            pause.left_us = 0  # the server may be up before the client is back

    def _go_on_computing(self, task: Task, pause: Pause, now: int) -> None:
        """What is left takes as long as the client's speed from now on makes it."""
        if not self._compute.varies:
            super()._go_on_computing(task, pause, now)
            return
        task.computing_since_us = now
        if pause.then == self._start_uploading:
            planned, pause.left_us = pause.left_us, self._compute.microseconds(task, now)
            task.due_us += pause.left_us - planned

    def steps_done(self, task: Task) -> int:
        """Local steps that a task has completed by now, which has not ended its computation."""
        if task.phase is not Phase.COMPUTING:
            return 0
        elapsed = int(self.env.now) - task.computing_since_us
        return self._compute.steps_done(task, elapsed)

    def interrupt(self, task: Task) -> bool:
        """End the computation now, with the steps done so far; follow it by `send_back`.

        False, and nothing changes, where the computation or the task has ended already; a crash is
        noticed, and the task fails. A client that is away hears of it when its task is resumed.
        """
        pause = self._paused.get(task)
        if pause is not None:
            pause.recalled = True
            return False
        if task.lost and task.in_flight:
            self._fail(task)
            return False
        if task.phase > Phase.COMPUTING:
            return False
        steps = self.steps_done(task)
        if task.phase is Phase.DOWNLOADING:
            self._record(event_kinds.DOWNLOADED, task, 0)  # the leg ends here
        task.steps = steps
        task.samples = self.workload.samples(task.client, steps)
        super().halt(task)  # its place at the client is free when its result is uploaded
        task.due_us = int(self.env.now) + task.upload_us + task.upload_work_us
        return True

    def send_back(self, task: Task) -> None:
        """Upload the result of an interrupted task."""
        self._start_uploading(task)

    def expected_seconds(self, client: int) -> float:
        """The mean round trip of the client's tasks, where none has to wait for a link."""
        down, up = self._download_bytes, self._upload_bytes
        return (
            self._compute.expected_seconds(client)
            + self._server_download.expected_seconds(client, down)
            + self._download.expected_seconds(client, down)
            + self._upload.expected_seconds(client, up)
            + self._server_upload.expected_seconds(client, up)
        )

    def usual_seconds(self, client: int) -> dict[str, float]:
        """About how long each leg of the client's tasks takes, by its key in the scenario."""
        down, up = self._download_bytes, self._upload_bytes
        return {
            "clients.compute": self._compute.usual_seconds(client),
            "clients.network.download": self._download.usual_seconds(client, down),
            "clients.network.upload": self._upload.usual_seconds(client, up),
            "server.download": self._server_download.usual_seconds(client, down),
            "server.upload": self._server_upload.usual_seconds(client, up),
        }

    def _sent_down(self, task: Task) -> None:
        """The model has left the server's contended link; the client's own path follows."""
        if task.download_us:  # else the log has that instant already
            task.link_us = int(self.env.now)
        self._download_on(task)

    def _download_on(self, task: Task) -> None:
        if task.download_us:
            self.put_off(task, task.download_us, self._downloaded)
        else:
            self._downloaded(task)

    def _downloaded(self, task: Task) -> None:
        self._record(event_kinds.DOWNLOADED, task, task.download_bytes)
        self._start_computing(task)

    def _start_computing(self, task: Task) -> None:
        task.phase = Phase.COMPUTING
        now = task.computing_since_us = int(self.env.now)
        if self._compute.varies and not task.until_polled:  # it may begin later than planned
            task.compute_us = self._compute.microseconds(task, now)
        task.due_us = now + task.compute_us + task.upload_us + task.upload_work_us
        if self._faults is not None and self._crashes(task, self._faults):
            return
        if task.until_polled:
            task.pending = None
            return
        if task.compute_us:
            self.put_off(task, task.compute_us, self._start_uploading)
        else:
            self._start_uploading(task)

    def _start_uploading(self, task: Task) -> None:
        task.phase = Phase.UPLOADING
        self._record(event_kinds.COMPUTED, task, 0)
        self._upload_again(task)

    def _upload_again(self, task: Task) -> None:
        if task.upload_us:
            self.put_off(task, task.upload_us, self._upload_on)
        else:
            self._upload_on(task)

    def _upload_on(self, task: Task) -> None:
        if task.upload_work_us:
            if task.upload_us or task.attempt:
                task.link_us = int(self.env.now)
            self._cross(self._server_upload, task, task.upload_work_us, self._uploaded)
        else:
            self._uploaded(task)

    def _uploaded(self, task: Task) -> None:
        faults = self._faults
        if faults is not None and faults.is_lost(task.client, task.number, task.attempt):
            self._lose(task, faults)
            return
        self._reach(task)

    def _reach(self, task: Task) -> None:
        """The update arrives now, or as soon as the server is up."""
        now = int(self.env.now)
        up = self._outages.up_us(now)
        if up > now:
            self.put_off(task, up - now, self._reach)
        else:
            self._arrive(task)

    def _arrive(self, task: Task) -> None:
        faults = self._faults
        if faults is not None:
            task.corruption = faults.corruption(task.client, task.number)
            if task.corruption is not None:
                self._record(event_kinds.CORRUPTED, task, 0)
        task.phase = Phase.ARRIVED
        task.pending = None
        self._record(event_kinds.ARRIVED, task, task.upload_bytes)
        self._deliver(task)
        if faults is not None:
            delay = faults.duplicate_us(task.client, task.number)
            if delay is not None:
                now = int(self.env.now)
                again = self.env.timeout(self._outages.up_us(now + delay) - now)
                again.callbacks.append(
                    lambda _: self._record(event_kinds.DUPLICATE, task, task.upload_bytes)
                )

    def _crashes(self, task: Task, faults: Faults) -> bool:
        if task.sent_us < faults.from_us:
            return False
        compute_us = task.compute_us
        if task.until_polled:  # as long as it would compute if it were not polled before
            compute_us = self._compute.microseconds(task, int(self.env.now))
        crash_us = faults.crash_us(task.client, task.number, compute_us)
        if crash_us is None:
            return False
        self.put_off(task, crash_us, self._crash)
        return True

    def _crash(self, task: Task) -> None:
        """The work is lost, which the server may notice later."""
        assert self._faults is not None
        left = task.sent_us + self._faults.noticed_us - int(self.env.now)
        if left > 0:
            task.lost = True
            self.put_off(task, left, self._fail)
        else:
            self._fail(task)

    def _lose(self, task: Task, faults: Faults) -> None:
        """An upload did not arrive: the client notices, and tries again or gives up."""
        self._record(event_kinds.LOST, task, task.upload_bytes)
        wait, backoff = faults.timeout_us(), faults.backoff_us(task.attempt)
        task.attempt += 1
        if backoff is not None:
            wait += backoff
            task.due_us = int(self.env.now) + wait + task.upload_us + task.upload_work_us
        then = self._fail if backoff is None else self._upload_again
        # Even at once, whoever has just sent a task is to hold it before it fails, and uploads
        # that take no time are not to nest too deep.
        if backoff is None:
            put_off = task.sent_us == int(self.env.now)
        else:
            put_off = not (task.attempt % _NESTED or task.upload_us or task.upload_work_us)
        if wait or put_off:
            self.put_off(task, wait, then)
        else:
            then(task)
