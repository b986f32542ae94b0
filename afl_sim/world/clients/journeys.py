"""The way of a task: it is downloaded, computed and uploaded, and may go wrong.

A client costs nothing until it is sent a task, and one chain of events per task afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from afl_sim.world import event_kinds
from afl_sim.world.availability.outages import Outages
from afl_sim.world.clients.durations import Durations
from afl_sim.world.clients.legs import Legs
from afl_sim.world.clients.undisturbed import LogAhead, Undisturbed
from afl_sim.world.clients.varying_durations import VaryingDurations
from afl_sim.world.clock import Clock
from afl_sim.world.tasks.faults import AnyFaults, Faults
from afl_sim.world.tasks.task import Phase, Task
from afl_sim.world.tasks.workload import Workload

_NESTED = 32  # uploads that take no time, one inside the other


@dataclass(frozen=True)
class Reports:
    """Whom the clients report to.

    Attributes:
        record: called with each event: its kind, the task, the bytes that were moved, and sometimes
            a context.
        deliver: called when an update has reached the server.
        fail: called when a task has failed, and the server can notice.
        refresh: called when a client asks for the newest model; whether that is newer than its own.
    """

    record: Callable[..., None]
    deliver: Callable[[Task], None]
    fail: Callable[[Task], None]
    refresh: Callable[[Task], bool]


class Journeys(Legs):
    """Takes tasks through their legs and delivers the updates.

    Args:
        env: the clock.
        workload: how much work a task is.
        durations: how long each leg of a task takes.
        outages: when the server is down.
        faults: what goes wrong; None if nothing does.
        reports: whom the clients report to.
        ahead: takes the rows of legs that nothing can disturb; None if something can.

    Attributes:
        durations: as above.
        foresight: takes tasks that nothing can disturb, which need no `launch`; None if something
            can disturb all.
    """

    def __init__(
        self,
        env: Clock,
        workload: Workload,
        durations: Durations,
        outages: Outages,
        faults: AnyFaults | None,
        reports: Reports,
        ahead: LogAhead | None = None,
    ) -> None:
        super().__init__(env)
        self._workload = workload
        self.durations = durations
        self._compute = durations.compute
        self._varying = durations if isinstance(durations, VaryingDurations) else None
        self._server_download = durations.server_download
        self._server_upload = durations.server_upload
        self._outages = outages
        self._faults = faults
        self._record = reports.record
        self._deliver = reports.deliver
        self._fail = reports.fail
        self.foresight: Undisturbed | None = None
        if ahead is not None:
            self.foresight = Undisturbed(
                env,
                ahead,
                record=reports.record,
                downloaded=self._downloaded,
                computed=self._start_uploading,
                uploaded=self._upload_on,
                arrive=self._deliver,
            )

    def plan(self, task: Task) -> None:
        """Draw how long each leg of a task will take, and so when its update is due."""
        self.durations.plan(task)

    def launch(self, task: Task) -> None:
        """Send a task on its way. A leg that takes no time is passed at once, without an event."""
        if task.download_work_us:
            self._cross(self._server_download, task, task.download_work_us, self._sent_down)
        else:
            self._download_on(task)

    def _sent_down(self, task: Task) -> None:
        """The model has left the server's contended link; the client's own path follows."""
        if task.download_us:  # else the log has this instant already
            task.link_us = self.env.now_us
        self._download_on(task)

    def _download_on(self, task: Task) -> None:
        if self._varying is not None:
            self._varying.plan_download(task, self.env.now_us)
        if task.download_us:
            self.put_off(task, task.download_us, self._downloaded)
        else:
            self._downloaded(task)

    def _downloaded(self, task: Task) -> None:
        self._record(event_kinds.DOWNLOADED, task, task.download_bytes)
        self._start_computing(task)

    def _start_computing(self, task: Task) -> None:
        task.phase = Phase.COMPUTING
        now = task.computing_since_us = self.env.now_us
        # It may begin later than planned.
        if self._compute(task.client).varies and not task.until_polled:
            task.compute_us = self._compute(task.client).microseconds(task, now)
        if self._varying is not None:
            self._varying.plan_upload(task, now + task.compute_us)
        task.due_us = now + task.compute_us + task.upload_us + task.upload_work_us
        if self._faults is not None and self._crashes(task, self._faults.of(task.client)):
            return
        if task.until_polled:
            task.pending = None
            return
        self._begin_steps(task)

    def _begin_steps(self, task: Task) -> None:
        if task.compute_us:
            self.put_off(task, task.compute_us, self._start_uploading)
        else:
            self._start_uploading(task)

    def _start_uploading(self, task: Task) -> None:
        task.phase = Phase.UPLOADING
        self._record(event_kinds.COMPUTED, task, 0)
        self._upload_again(task)

    def _upload_again(self, task: Task) -> None:
        if self._varying is not None:
            self._varying.put_off_upload(task, self.env.now_us)
        if task.upload_us:
            self.put_off(task, task.upload_us, self._upload_on)
        else:
            self._upload_on(task)

    def _upload_on(self, task: Task) -> None:
        if task.upload_work_us:
            if task.upload_us or task.attempt:
                task.link_us = self.env.now_us
            self._cross(self._server_upload, task, task.upload_work_us, self._uploaded)
        else:
            self._uploaded(task)

    def _uploaded(self, task: Task) -> None:
        faults = None if self._faults is None else self._faults.of(task.client)
        if faults is not None and faults.is_lost(task.client, task.number, task.attempt):
            self._lose(task, faults)
            return
        self._reach(task)

    def _reach(self, task: Task) -> None:
        """The update arrives now, or as soon as the server is up."""
        now = self.env.now_us
        up = self._outages.up_us(now)
        if up > now:
            self.put_off(task, up - now, self._reach)
        else:
            self._arrive(task)

    def _arrive(self, task: Task) -> None:
        faults = None if self._faults is None else self._faults.of(task.client)
        if faults is not None:
            task.corruption = faults.corruption(task.client, task.number)
            if task.corruption is not None:
                self._record(event_kinds.CORRUPTED, task, 0)
        self._deliver(task)
        if faults is not None:
            delay = faults.duplicate_us(task.client, task.number)
            if delay is not None:
                now = self.env.now_us
                again = self.env.timeout(self._outages.up_us(now + delay) - now)
                again.callbacks.append(
                    lambda _: self._record(event_kinds.DUPLICATE, task, task.upload_bytes)
                )

    def _crashes(self, task: Task, faults: Faults) -> bool:
        if task.sent_us < faults.from_us:
            return False
        compute_us = task.compute_us
        if task.until_polled:  # as long as it would compute if it were not polled before
            compute_us = self._compute(task.client).microseconds(task, self.env.now_us)
        crash_us = faults.crash_us(task.client, task.number, compute_us)
        if crash_us is None:
            return False
        self.put_off(task, crash_us, self._crash)
        return True

    def _crash(self, task: Task) -> None:
        """The work is lost; the server may notice only later."""
        assert self._faults is not None
        left = task.sent_us + self._faults.of(task.client).noticed_us - self.env.now_us
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
            if self._varying is not None:
                self._varying.plan_upload(task, self.env.now_us + wait)
            task.due_us = self.env.now_us + wait + task.upload_us + task.upload_work_us
        then = self._fail if backoff is None else self._upload_again
        # A task must not fail inside the call that sends it, since its sender does not hold it yet.
        # And uploads that take no time must not nest too deep.
        if backoff is None:
            put_off = task.sent_us == self.env.now_us
        else:
            put_off = not (task.attempt % _NESTED or task.upload_us or task.upload_work_us)
        if wait or put_off:
            self.put_off(task, wait, then)
        else:
            then(task)
