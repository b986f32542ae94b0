"""Clients that ask the server for the newest model during a task, and merge it into their own.

After some of its steps a client stops and sends a request, which takes no time and no bytes. If the
server has a newer model than the one that the task began with, the client downloads it: over the
same links, with the same draws, as its first download. Then it goes on with the rest of its steps.
The model is the one that the server has when the request is there, so a server that is down sends
the one that it has when it is up again.
"""

from __future__ import annotations

from afl_sim.world import event_kinds
from afl_sim.world.availability.outages import Outages
from afl_sim.world.clients.durations import Durations
from afl_sim.world.clients.fleet import Fleet
from afl_sim.world.clients.journeys import Reports
from afl_sim.world.clients.legs import Pause
from afl_sim.world.clock import Clock
from afl_sim.world.tasks.faults import AnyFaults, Faults
from afl_sim.world.tasks.task import Phase, Task
from afl_sim.world.tasks.workload import Workload


class RefreshingFleet(Fleet):
    """Takes tasks through their legs, with a download in the middle of the computation.

    The row ``requested`` says when the client stopped, and what it had done by then. The row
    ``refreshed`` says when it went on, and has the bytes of the model: 0 if there was no newer one,
    or if the client was told to send what it had.
    """

    def __init__(
        self,
        env: Clock,
        workload: Workload,
        durations: Durations,
        outages: Outages,
        faults: AnyFaults | None,
        reports: Reports,
    ) -> None:
        super().__init__(env, workload, durations, outages, faults, reports)
        self._refresh = reports.refresh
        self._stopped: dict[Task, int] = {}  # when tasks stopped that have not gone on yet
        self._crashing: dict[Task, int] = {}  # how long they compute after that until they crash

    @property
    def punctual(self) -> bool:
        """False: a task takes longer if there is a newer model when it asks."""
        return False

    def plan(self, task: Task) -> None:
        """Draw how long each leg will take, and settle when the client asks.

        It does at least one step before and one after; a task of one step does not ask.
        """
        super().plan(task)
        share = task.order.refresh_after
        if share is not None and task.steps > 1:
            task.refresh_step = min(max(1, round(share * task.steps)), task.steps - 1)

    def halt(self, task: Task) -> None:
        """Stop working on a task at once."""
        super().halt(task)
        self._stopped.pop(task, None)
        self._crashing.pop(task, None)

    def pause(self, task: Task) -> None:
        """Interrupt the task where it is."""
        super().pause(task)
        pause = self._paused[task]
        if pause.then == self._request:
            pause.left_us = 0  # the server may be up before the client is back

    def interrupt(self, task: Task, repeat_step: bool = False) -> bool:
        """End the computation now, with the steps done so far; a model on its way is not merged."""
        if task in self._stopped and not self.is_paused(task):
            self._record(event_kinds.REFRESHED, task, 0)  # the leg ends here
            task.fresh_version = -1
            self._count_on(task)
        stops = super().interrupt(task, repeat_step)
        if stops:
            task.refresh_step = 0
            self._crashing.pop(task, None)
        return stops

    def _go_on_computing(self, task: Task, pause: Pause, now: int) -> None:
        super()._go_on_computing(task, pause, now)
        if pause.then == self._ask and self._compute(task.client).varies:
            pause.left_us = self._until_asking_us(task)

    def _done(self, task: Task) -> tuple[int, int]:
        if task in self._stopped:
            return task.fresh_step, 0
        done, extra = super()._done(task)
        if task.phase is Phase.COMPUTING and done < task.fresh_step:  # by rounding
            done = task.fresh_step
        return done, extra

    def _until_asking_us(self, task: Task) -> int:
        compute = self._compute(task.client)
        return compute.steps_us(task, task.refresh_step, self.env.now_us)

    def _begin_steps(self, task: Task) -> None:
        if not task.refresh_step:
            super()._begin_steps(task)
            return
        first_us = min(self._until_asking_us(task), task.compute_us)
        if first_us:
            self.put_off(task, first_us, self._ask)
        else:
            self._ask(task)

    def _crashes(self, task: Task, faults: Faults) -> bool:
        crashes = super()._crashes(task, faults)
        if crashes and task.refresh_step:
            after_us = task.leg_ends_us - self.env.now_us
            first_us = min(self._until_asking_us(task), task.compute_us)
            if after_us > first_us:
                self._crashing[task] = after_us - first_us
                return False
        return crashes

    def _ask(self, task: Task) -> None:
        """So many steps are done: the client stops, and asks for the newest model."""
        now = self._stopped[task] = self.env.now_us
        if self._compute(task.client).varies:
            elapsed = now - task.computing_since_us
            task.worked_us += self._compute(task.client).work(task, elapsed)
        task.fresh_step = task.refresh_step
        done = self._workload.samples(task.client, task.fresh_step)
        context = f'{{"steps_done": {task.fresh_step}, "samples_done": {done}}}'
        self._record(event_kinds.REQUESTED, task, 0, context)
        task.phase = Phase.DOWNLOADING
        self._request(task)

    def _request(self, task: Task) -> None:
        """The server answers now, or as soon as it is up."""
        now = self.env.now_us
        up = self._outages.up_us(now)
        if up > now:
            self.put_off(task, up - now, self._request)
            return
        task.refresh_step = 0
        if not self._refresh(task):
            self._record(event_kinds.REFRESHED, task, 0)
            self._go_on(task)
        elif task.download_work_us:
            self._cross(self._server_download, task, task.download_work_us, self._sent_down)
        else:
            self._download_on(task)

    def _downloaded(self, task: Task) -> None:
        """A model has come: the first one, or a newer one in the middle of the task."""
        if task not in self._stopped:
            super()._downloaded(task)
            return
        context = f'{{"fresh_version": {task.fresh_version}}}'
        self._record(event_kinds.REFRESHED, task, task.download_bytes, context)
        self._go_on(task)

    def _go_on(self, task: Task) -> None:
        """The client computes the rest of its steps."""
        self._count_on(task)
        compute, now = self._compute(task.client), self.env.now_us
        if compute.varies:
            left = compute.microseconds(task, now)
        else:
            left = task.compute_us - (now - task.computing_since_us)
        if self._varying is not None:
            self._varying.plan_upload(task, now + left)
        task.due_us = now + left + task.upload_us + task.upload_work_us
        crash_us = self._crashing.pop(task, None)
        if crash_us is not None:
            self.put_off(task, min(crash_us, left), self._crash)
        elif left:
            self.put_off(task, left, self._start_uploading)
        else:
            self._start_uploading(task)

    def _count_on(self, task: Task) -> None:
        """The task computes again; the time in which it stood still does not count."""
        now = self.env.now_us
        stood_us = now - self._stopped.pop(task)
        task.phase = Phase.COMPUTING
        if self._compute(task.client).varies:
            task.computing_since_us = now
        else:
            task.computing_since_us += stood_us
