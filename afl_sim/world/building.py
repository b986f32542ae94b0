"""From a scenario to the parts of a server and its clients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.distributions.draws import drawer
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.sections.faults import Faults as FaultsSpec
from afl_sim.streams import Streams
from afl_sim.world.account.batteries import Batteries
from afl_sim.world.availability.outages import Outages
from afl_sim.world.availability.protocol import Availability
from afl_sim.world.availability.timelines import Always
from afl_sim.world.clients.attendance import attendance, in_parts
from afl_sim.world.clients.churn import Leaving, OnLeave
from afl_sim.world.clients.durations import Durations
from afl_sim.world.clients.fleet import Fleet
from afl_sim.world.clients.grouping import Grouping, grouping_of
from afl_sim.world.clients.idle import IdleClients
from afl_sim.world.clients.journeys import Reports
from afl_sim.world.clients.memory import WithoutSome
from afl_sim.world.clients.next_draws import NextDraws
from afl_sim.world.clients.next_tasks import MOST_CLIENTS, NextTasks
from afl_sim.world.clients.own_selection import OwnSelector
from afl_sim.world.clients.presence import Presence
from afl_sim.world.clients.queueing import QueueingFleet, QueueingPresence
from afl_sim.world.clients.refreshing import RefreshingFleet
from afl_sim.world.clients.selection import Selector
from afl_sim.world.clients.selection import build as build_selector
from afl_sim.world.clients.undisturbed import LogAhead
from afl_sim.world.clients.varying_durations import VaryingDurations
from afl_sim.world.clock import Clock
from afl_sim.world.evaluations import evaluation_seconds
from afl_sim.world.learner import Learner
from afl_sim.world.links.network import ClientLink, ServerLink
from afl_sim.world.links.varying import client_links
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.server.alarm import Alarm
from afl_sim.world.server.idle_waits import IdleWaits
from afl_sim.world.server.inbox import Inbox
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.server.parts import Parts
from afl_sim.world.server.results import Results
from afl_sim.world.server.sender import Sender
from afl_sim.world.server.versions import ServerTimes, VersionMaker
from afl_sim.world.tasks.compute import Compute
from afl_sim.world.tasks.faults import AnyFaults, Faults, FaultsByGroup
from afl_sim.world.tasks.roofline import StepCost
from afl_sim.world.tasks.task import Task
from afl_sim.world.tasks.workload import Workload


@dataclass(frozen=True)
class Sizes:
    """What the numeric half determines of the durations.

    Attributes:
        samples_of: the number of samples that a client holds.
        download_bytes: size of the model that a client downloads.
        upload_bytes: size of the update that a client uploads.
        cost: of a local step, where it takes as long as the model says; else None.
        most: the most samples that fit into a mini-batch of a client, int64 (clients,); None if all
            fit.
        absent: which clients do not take part, bool (clients,); None if all do.
        update_variance: omega of an update's compression; None if it is not known.
    """

    samples_of: Callable[[int], int]
    download_bytes: int
    upload_bytes: int
    cost: StepCost | None = None
    most: npt.NDArray[np.int64] | None = None
    absent: npt.NDArray[np.bool_] | None = None
    update_variance: float | None = 0.0


def build_parts(
    env: Clock,
    scenario: Scenario,
    sizes: Sizes,
    streams: Streams,
    learner: Learner,
    ledger: Ledger,
    outages: Outages,
    *,
    reads_results: bool,
    queues: bool,
    refreshes: bool,
    on_version: Callable[[], None],
    ahead: LogAhead | None,
    batteries: Batteries | None = None,
) -> Parts:
    """What the server of a scenario is made of.

    Args:
        env: the clock.
        scenario: the resolved scenario.
        sizes: samples and bytes.
        streams: the run's random streams.
        learner: the numeric half of the run.
        ledger: counts and logs.
        outages: when the server is down.
        reads_results: whether the schedule may read results.
        queues: whether clients queue tasks that they are sent while they have one.
        refreshes: whether clients ask for the newest model during a task.
        on_version: called after each new version.
        ahead: takes rows of the log ahead of their time; None if the log does not.
        batteries: of clients; None if none has one.
    """
    clients, selection = scenario.clients, scenario.server.selection
    workload = _workload(scenario, sizes, streams)
    grouping = grouping_of(clients, streams)
    durations = _durations(env, scenario, sizes, grouping, workload, streams)
    selector = build_selector(selection, sizes.samples_of, durations.expected_seconds, streams)
    availability = attendance(grouping, streams)
    idle = IdleClients(clients.count, streams)
    there = availability if sizes.absent is None else WithoutSome(sizes.absent, availability)
    if batteries is not None:
        there = batteries.over(there)
    presence = (QueueingPresence if queues else Presence)(idle, there, selector)
    idle_waits = IdleWaits(env, presence, outages)
    listener = None
    if selector is not None and (selection.reads_results or isinstance(selector, OwnSelector)):
        listener = _listener(selector, env, ledger, learner, selection.reads_results)
    inbox = Inbox(env, ledger, learner, idle_waits, listener)
    faults = _faults(grouping, streams)
    leaving = _leaving(grouping, availability)
    disturbed = durations.contended or durations.vary or outages.happen
    if disturbed or queues or refreshes or faults is not None or leaving is not None:
        ahead = None

    def build_fleet(reports: Reports) -> Fleet:
        if queues:
            return QueueingFleet(env, workload, durations, outages, faults, reports)
        if refreshes:
            return RefreshingFleet(env, workload, durations, outages, faults, reports)
        return Fleet(env, workload, durations, outages, faults, reports, ahead)

    sender = Sender(
        env=env,
        ledger=ledger,
        presence=presence,
        idle_waits=idle_waits,
        inbox=inbox,
        learner=learner,
        workload=workload,
        outages=outages,
        leaving=leaving,
        build_fleet=build_fleet,
    )
    in_blocks = durations.in_blocks and workload.alike and workload.personal is None
    if in_blocks and not queues and clients.count <= MOST_CLIENTS:
        sent, plans = sender.sent, sender.plans
        idle.watch(NextTasks(durations, workload, sent, plans, clients.count).expect)
    elif durations.per_task or durations.per_client:
        following = NextDraws(streams, durations.per_task, durations.per_client, sender.sent)
        idle.watch(following.expect)
    alarm = Alarm(env, outages)
    versions = VersionMaker(
        env=env,
        ledger=ledger,
        learner=learner,
        inbox=inbox,
        alarm=alarm,
        times=_server_times(scenario, streams),
        on_version=on_version,
        everyone_is_gone=idle_waits.everyone_is_gone,
    )
    return Parts(
        env=env,
        ledger=ledger,
        durations=durations,
        presence=presence,
        idle_waits=idle_waits,
        inbox=inbox,
        sender=sender,
        versions=versions,
        alarm=alarm,
        results=Results(ledger, learner, reads_results),
        update_variance=sizes.update_variance,
    )


def _workload(scenario: Scenario, sizes: Sizes, streams: Streams) -> Workload:
    training = scenario.training
    return Workload(
        samples_of=sizes.samples_of,
        batch_size=training.samples_per_step,
        epochs=training.epochs,
        steps=training.steps,
        drop_last=training.drop_last,
        streams=streams,
        personal=training.personalization,
        most=sizes.most,
    )


def _durations(
    env: Clock,
    scenario: Scenario,
    sizes: Sizes,
    grouping: Grouping,
    workload: Workload,
    streams: Streams,
) -> Durations:
    server = scenario.server
    fleet = [part.clients for part in grouping.parts]
    gradients = getattr(scenario.strategy, "gradients_per_step", 1)
    compute = [
        Compute(clients.compute, workload, streams, sizes.cost, gradients) for clients in fleet
    ]
    paths = [
        client_links(part.clients.network, streams, part.place, part.links)
        for part in grouping.parts
    ]
    downloads, uploads = zip(*paths, strict=True)
    links = [
        ServerLink(env, server.download, "download", streams),
        ServerLink(env, server.upload, "upload", streams),
    ]
    drawing: list[Compute | ClientLink] = [*compute, *downloads, *uploads]
    varies = any(link.varies for link in (*downloads, *uploads))
    kind = VaryingDurations if varies else Durations
    return kind(
        compute=grouping.choose(compute),
        download=grouping.choose(downloads),
        upload=grouping.choose(uploads),
        server_download=links[0],
        server_upload=links[1],
        download_bytes=sizes.download_bytes,
        upload_bytes=sizes.upload_bytes,
        vary=any(part.varies for part in drawing),
        steady=all(part.steady for part in (*downloads, *uploads))
        and all(link.steady for link in links),
        alike=grouping.members is None,
        per_task=sorted({name for part in drawing for name in part.per_task}),
        per_client=sorted({name for part in drawing for name in part.per_client}),
    )


def _leaving(grouping: Grouping, availability: Availability | None) -> Leaving | None:
    """What happens to the tasks of clients that leave; None if all of them finish first."""
    rules = [part.clients.availability.on_leave for part in grouping.parts]
    if availability is None or all(rule == "finish" for rule in rules):
        return None
    # Those who finish first never leave, as far as their tasks are concerned.
    parts = [Always() if rule == "finish" else availability for rule in rules]
    kept: list[OnLeave] = ["lost" if rule == "finish" else rule for rule in rules]
    return Leaving(in_parts(parts, grouping), grouping.choose(kept))


def _faults(grouping: Grouping, streams: Streams) -> AnyFaults | None:
    """What goes wrong at clients; None if nothing does."""
    settings = [part.clients.faults for part in grouping.parts]
    if all(each == FaultsSpec() for each in settings):
        return None
    parts = [Faults(each, streams) for each in settings]
    return parts[0] if grouping.members is None else FaultsByGroup(parts, grouping.choose(parts))


def _server_times(scenario: Scenario, streams: Streams) -> ServerTimes:
    law = scenario.server.aggregation_seconds
    seconds = drawer(law, streams, "server.aggregation")
    return ServerTimes(
        aggregation=None if law.constant == 0 else lambda number: seconds(0, number),
        evaluation=evaluation_seconds(scenario, streams),
    )


def _listener(
    selector: Selector,
    env: Clock,
    ledger: Ledger,
    learner: Learner,
    reads_results: bool,
) -> Callable[[Task], None]:
    """Tells the selector of every update that arrives; of its loss only if that may be read."""

    def listen(task: Task) -> None:
        if task.steps:
            seconds = (int(env.now) - task.sent_us) / MICROSECONDS
            loss = learner.result(task, ledger.version + 1).loss if reads_results else math.nan
            selector.hear(task.client, loss, seconds)

    return listen
