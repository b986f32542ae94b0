"""From a scenario to the parts of a server and its clients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import simpy

from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.sections.clients import Clients
from afl_sim.streams import Streams
from afl_sim.world.availability.outages import Outages
from afl_sim.world.availability.timelines import Availability
from afl_sim.world.availability.timelines import build as build_availability
from afl_sim.world.clients.churn import Leaving
from afl_sim.world.clients.devices import with_devices
from afl_sim.world.clients.durations import Durations
from afl_sim.world.clients.fleet import Fleet, Reports
from afl_sim.world.clients.idle import IdleClients
from afl_sim.world.clients.own_selection import OwnSelector
from afl_sim.world.clients.presence import Presence
from afl_sim.world.clients.queueing import QueueingFleet, QueueingPresence
from afl_sim.world.clients.selection import Selector
from afl_sim.world.clients.selection import build as build_selector
from afl_sim.world.clock import MICROSECONDS
from afl_sim.world.evaluations import evaluation_seconds
from afl_sim.world.learner import Learner
from afl_sim.world.links.network import ClientLink, ServerLink
from afl_sim.world.server.alarm import Alarm
from afl_sim.world.server.idle_waits import IdleWaits
from afl_sim.world.server.inbox import Inbox
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.server.parts import Parts
from afl_sim.world.server.results import Results
from afl_sim.world.server.sender import Sender
from afl_sim.world.server.versions import ServerTimes, VersionMaker
from afl_sim.world.tasks.compute import Compute
from afl_sim.world.tasks.faults import build as build_faults
from afl_sim.world.tasks.task import Task
from afl_sim.world.tasks.workload import Workload


@dataclass(frozen=True)
class Sizes:
    """What the numeric half determines of the durations.

    Attributes:
        samples_of: the number of samples that a client holds.
        download_bytes: size of the model that a client downloads.
        upload_bytes: size of the update that a client uploads.
    """

    samples_of: Callable[[int], int]
    download_bytes: int
    upload_bytes: int


def build_parts(
    env: simpy.Environment,
    scenario: Scenario,
    sizes: Sizes,
    streams: Streams,
    learner: Learner,
    ledger: Ledger,
    outages: Outages,
    *,
    reads_results: bool,
    queues: bool,
    on_version: Callable[[], None],
) -> Parts:
    """What the server of a scenario is made of.

    Args:
        env: the SimPy environment.
        scenario: the resolved scenario.
        sizes: samples and bytes.
        streams: the run's random streams.
        learner: the numeric half of the run.
        ledger: counts and logs.
        outages: when the server is down.
        reads_results: whether the schedule may read results.
        queues: whether clients queue tasks that they are sent while they have one.
        on_version: called after each new version.
    """
    clients, selection = scenario.clients, scenario.server.selection
    workload = _workload(scenario, sizes, streams)
    durations = _durations(env, scenario, sizes, workload, streams)
    selector = build_selector(selection, sizes.samples_of, durations.expected_seconds, streams)
    availability = build_availability(clients.availability, streams)
    idle = IdleClients(clients.count, streams)
    presence = (QueueingPresence if queues else Presence)(idle, availability, selector)
    idle_waits = IdleWaits(env, presence, outages)
    listener = None
    if selector is not None and (selection.reads_results or isinstance(selector, OwnSelector)):
        listener = _listener(selector, env, ledger, learner, selection.reads_results)
    inbox = Inbox(env, ledger, learner, idle_waits, listener)
    faults = build_faults(clients.faults, streams)

    def build_fleet(reports: Reports) -> Fleet:
        kind = QueueingFleet if queues else Fleet
        return kind(env, workload, durations, outages, faults, reports)

    sender = Sender(
        env=env,
        ledger=ledger,
        presence=presence,
        idle_waits=idle_waits,
        inbox=inbox,
        learner=learner,
        workload=workload,
        outages=outages,
        leaving=_leaving(clients, availability),
        build_fleet=build_fleet,
    )
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
    )


def _durations(
    env: simpy.Environment, scenario: Scenario, sizes: Sizes, workload: Workload, streams: Streams
) -> Durations:
    clients, server = with_devices(scenario.clients, streams), scenario.server
    return Durations(
        compute=Compute(clients.compute, workload, streams),
        download=ClientLink(clients.network.download, "download", streams),
        upload=ClientLink(clients.network.upload, "upload", streams),
        server_download=ServerLink(env, server.download, "download", streams),
        server_upload=ServerLink(env, server.upload, "upload", streams),
        download_bytes=sizes.download_bytes,
        upload_bytes=sizes.upload_bytes,
    )


def _leaving(clients: Clients, availability: Availability | None) -> Leaving | None:
    on_leave = clients.availability.on_leave
    if availability is None or on_leave == "finish":
        return None
    return Leaving(availability, on_leave)


def _server_times(scenario: Scenario, streams: Streams) -> ServerTimes:
    law = scenario.server.aggregation_seconds
    return ServerTimes(
        aggregation=lambda number: draw(law, streams, "server.aggregation", 0, number),
        evaluation=evaluation_seconds(scenario, streams),
    )


def _listener(
    selector: Selector,
    env: simpy.Environment,
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
