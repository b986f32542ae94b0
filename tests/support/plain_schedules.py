"""The strategies' schedules on the `EventLoop`, from the papers' pseudo-code."""

from __future__ import annotations

from collections.abc import Sequence

from event_loop import ENDS, EventLoop, Task


def fedavg(
    loop: EventLoop, m: int, sent: int, deadline: int | None, late: str, keep: int | None = None
) -> None:
    """Rounds of ``sent`` clients that end with the first m arrivals, or at the deadline.

    With ``keep``, the steps of a task, those who are late send what they have done.
    """
    while True:
        while len(loop.busy) == loop.clients:
            loop.instant()
        cohort = [loop.dispatch(client, retry=False) for client in loop.pick(sent)]
        came = loop.wait(cohort, m, deadline)
        left = [task for task in cohort if task not in came]
        if keep is not None:
            for task in left:
                loop.recall(task, keep)
            came += [task for task in loop.wait(left, len(left)) if task.steps != 0]
            left = [task for task in left if task not in came]
        for task in left:
            if late == "cancel" or task.leg == len(ENDS):
                loop.cancel(task)
            else:
                task.unwanted = True
        loop.aggregate(came)


def fedasync(loop: EventLoop, concurrency: int, max_staleness: int | None) -> None:
    """Each arrival makes a version, or is discarded if it is too stale."""
    for client in loop.pick(concurrency):
        loop.dispatch(client, drawn=True)
    while True:
        task = loop.take()
        if max_staleness is not None and loop.version - task.base > max_staleness:
            loop.drop(task)
        else:
            loop.aggregate([task])
        loop.dispatch(loop.pick(1)[0], drawn=True)


def fedbuff(loop: EventLoop, concurrency: int, k: int) -> None:
    """Every k arrivals make a version; the k-th's replacement is sent after it."""
    for client in loop.pick(concurrency):
        loop.dispatch(client, drawn=True)
    buffer: list[Task] = []
    while True:
        buffer.append(loop.take())
        if len(buffer) == k:
            loop.aggregate(buffer)
            buffer = []
        loop.dispatch(loop.pick(1)[0], drawn=True)


def ringmaster(loop: EventLoop, workers: int, r: int) -> None:
    """Each arrival makes a version; then whoever's delay reaches r starts again, oldest first."""
    for client in loop.pick(workers):
        loop.dispatch(client)
    while True:
        task = loop.take()
        if loop.version - task.base < r:
            loop.aggregate([task])
        else:  # it arrived at the very instant at which it became too old
            loop.drop(task)
        loop.dispatch(task.client)
        for old in list(loop.busy.values()):
            if old.leg < len(ENDS) and loop.version - old.base >= r:
                loop.cancel(old)
                loop.dispatch(old.client)


def fedat(loop: EventLoop, tiers: Sequence[Sequence[int]], m: int) -> None:
    """Each tier does synchronous rounds of m clients at its own pace."""
    cohorts = [[loop.dispatch(c, retry=False) for c in loop.pick(m, members)] for members in tiers]
    under_way = [len(cohort) for cohort in cohorts]
    while True:
        loop.ended.clear()
        loop.instant()
        ready = []
        for task in loop.ended:
            tier = next(i for i, cohort in enumerate(cohorts) if task in cohort)
            under_way[tier] -= 1
            if not under_way[tier]:
                ready.append(tier)
        for tier in ready:
            came = [task for task in loop.inbox if task in cohorts[tier]]
            for task in came:
                loop.free(task)
            loop.aggregate(came)
            cohort = [loop.dispatch(c, retry=False) for c in loop.pick(m, tiers[tier])]
            cohorts[tier], under_way[tier] = cohort, len(cohort)


def quafl(loop: EventLoop, s: int, limit: int, period: int) -> None:
    """Every period s clients are polled, and aggregated when what they did has arrived."""
    for client in range(loop.clients):
        loop.dispatch(client, polled=True)
    while True:
        loop.sleep(period)
        polled = [loop.poll(client, limit) for client in loop.sample(s)]
        loop.aggregate(loop.wait(polled, s))
