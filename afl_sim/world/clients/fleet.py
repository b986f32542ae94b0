"""The clients in virtual time: how tasks on their way are told of, interrupted and given up.

A client costs nothing until it is sent a task, and one chain of events per task afterwards.
"""

from __future__ import annotations

from afl_sim.world import event_kinds
from afl_sim.world.clients.journeys import Journeys
from afl_sim.world.clients.legs import Pause, Place
from afl_sim.world.clients.varying_durations import Direction
from afl_sim.world.tasks.task import Phase, Task


class Fleet(Journeys):
    """The clients: a task on its way can be interrupted, and says how far it is."""

    @property
    def punctual(self) -> bool:
        """Whether no task can arrive later than was planned when it was sent."""
        if self._outages.happen or (self._faults is not None and self._faults.loses_uploads):
            return False
        return not self.durations.contended

    def varies(self, client: int) -> bool:
        """Whether the client's legs may take longer or shorter than was planned."""
        if self._varying is not None and self._varying.varies(client):
            return True
        return self._compute(client).varies

    def crashes(self, client: int, sent_us: int) -> bool:
        """Whether the client crashes in every task that it is sent from then on."""
        faults = None if self._faults is None else self._faults.of(client)
        return faults is not None and sent_us >= faults.from_us and faults.always_crashes(client)

    def halt(self, task: Task) -> None:
        """Stop working on a task at once."""
        self._disturb(task)
        super().halt(task)

    def _disturb(self, task: Task) -> None:
        """The task may not go on as it was foreseen."""
        if self.foresight is not None:
            self.foresight.disturb(task)

    def pause(self, task: Task) -> None:
        """Interrupt the task where it is."""
        self._disturb(task)
        if task.phase is Phase.COMPUTING and self._compute(task.client).varies:
            elapsed = self.env.now_us - task.computing_since_us
            task.worked_us += self._compute(task.client).work(task, elapsed)
        super().pause(task)
        pause = self._paused[task]
        if pause.then == self._reach:
            pause.left_us = 0  # the server may be up before the client is back
        if self._varying is not None:
            direction = self._own_transfer(pause)
            if direction is not None:
                self._varying.interrupt(task, direction, self.env.now_us)

    def place(self, task: Task) -> Place:
        """Where an interrupted task is, by what does not depend on when it will go on."""
        pause = self._paused[task]
        if task.phase is Phase.COMPUTING:
            if pause.then is None:  # it waits for a poll
                if sum(self._done(task)) == task.steps + task.extra_steps:
                    return (task.phase,)
                return task.phase, pause.since_us - task.computing_since_us
            if pause.then == self._start_uploading and self._compute(task.client).varies:
                return task.phase, task.worked_us
        elif self._varying is not None and self._own_transfer(pause) is not None:
            left = self._varying.left(task)
            if left is not None:
                return task.phase, task.attempt, left
        return super().place(task)

    def resume(self, task: Task) -> bool:
        """Go on where the task was interrupted; how long a transfer still takes may be new."""
        if self._varying is not None:
            pause = self._paused[task]
            direction = self._own_transfer(pause)
            if direction is not None:
                left_us = self._varying.go_on(task, direction, self.env.now_us)
                if left_us is not None:
                    task.due_us += left_us - pause.left_us
                    pause.left_us = left_us
        return super().resume(task)

    def _own_transfer(self, pause: Pause) -> Direction | None:
        """Which transfer on its client's own link a task was interrupted in, if in one."""
        if pause.link is not None:
            return None
        if pause.then == self._downloaded:
            return "download"
        return "upload" if pause.then == self._upload_on else None

    def _go_on_computing(self, task: Task, pause: Pause, now: int) -> None:
        """How long the rest takes depends on the client's speed from now on."""
        if not self._compute(task.client).varies:
            super()._go_on_computing(task, pause, now)
            if self._varying is not None:
                self._varying.put_off_upload(task, now + pause.left_us)
            return
        task.computing_since_us = now
        if pause.then == self._start_uploading:
            planned, pause.left_us = (
                pause.left_us,
                self._compute(task.client).microseconds(task, now),
            )
            task.due_us += pause.left_us - planned
            if self._varying is not None:
                self._varying.put_off_upload(task, now + pause.left_us)

    def steps_done(self, task: Task) -> int:
        """Local steps that a task has completed by now, while it computes; else 0."""
        return self._done(task)[0]

    def samples_done(self, task: Task) -> int:
        """Samples that a task has been trained on by now, in the steps that it has completed."""
        steps, extra = self._done(task)
        done = self._workload.samples(task.client, steps)
        return done + self._workload.samples(task.client, extra) if extra else done

    def _done(self, task: Task) -> tuple[int, int]:
        """The same, and how many further steps for what the client keeps."""
        if task.phase is not Phase.COMPUTING:
            return 0, 0
        pause = self._paused.get(task)
        until = self.env.now_us if pause is None else pause.since_us
        if pause is not None and self._compute(task.client).varies:
            until = task.computing_since_us  # what was done before the pause is noted already
        done = self._compute(task.client).steps_done(task, until - task.computing_since_us)
        return self._workload.parted(done, task.steps, task.extra_steps)

    def interrupt(self, task: Task, repeat_step: bool = False) -> bool:
        """End the computation now, with the steps done so far; call `send_back` next.

        With ``repeat_step`` the client's next task begins with the step that this breaks off.

        Returns False and changes nothing if the computation or the task has ended already. If the
        client has crashed, the task fails now. A client that is away is told when it is back.
        """
        self._disturb(task)
        pause = self._paused.get(task)
        if pause is not None:
            pause.recalled = True
            return False
        if task.lost and task.in_flight:
            self._fail(task)
            return False
        if task.phase > Phase.COMPUTING:
            return False
        steps, extra = self._done(task)
        if repeat_step:
            self._compute(task.client).repeat_step(task, steps)
        if task.phase is Phase.DOWNLOADING:
            self._record(event_kinds.DOWNLOADED, task, 0)  # the leg ends here
        task.steps, task.extra_steps = steps, extra
        task.samples = self._workload.samples(task.client, steps)
        if extra:
            task.samples += self._workload.samples(task.client, extra)
        super().halt(task)  # its place at the client is free when its result is uploaded
        if self._varying is not None:
            self._varying.plan_upload(task, self.env.now_us)
        task.due_us = self.env.now_us + task.upload_us + task.upload_work_us
        return True

    def send_back(self, task: Task) -> None:
        """Upload the result of an interrupted task."""
        self._start_uploading(task)
