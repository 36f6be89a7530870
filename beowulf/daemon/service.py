"""Builds a head and runs it until it is asked to stop. Jobs on the nodes are not touched by its end."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from beowulf import transport
from beowulf.api.server import ApiServer
from beowulf.burst.offers import market_of
from beowulf.cloud import registry
from beowulf.cloud.options import check_options
from beowulf.cloud.shelf import read_accelerators, read_catalogue
from beowulf.controller.commands import BringHome, Caller, RecordProfile
from beowulf.controller.inputs import LogHeld, LogsComplete
from beowulf.controller.logs import LogFiles
from beowulf.controller.loop import Controller
from beowulf.controller.policy import Policy
from beowulf.controller.watch import watch_here
from beowulf.daemon.beside import Beside
from beowulf.daemon.cloud_desk import CloudDesk
from beowulf.daemon.clouds import Clouds
from beowulf.daemon.courses import Courses
from beowulf.daemon.gpu_watch import GpuWatch
from beowulf.daemon.hands import WorkingHands
from beowulf.daemon.head import RunningHead
from beowulf.daemon.home import Home
from beowulf.daemon.hooks import Hooks
from beowulf.daemon.housekeeping import Housekeeping
from beowulf.daemon.leavings import limits_of
from beowulf.daemon.metrics import Metrics
from beowulf.daemon.metrics_server import MetricsServer
from beowulf.daemon.samples import Samples
from beowulf.daemon.transfers import Transfers
from beowulf.measure import Bench
from beowulf.model.errors import BadInput
from beowulf.model.node import NodeId, Profile
from beowulf.probe import GPU_LOAD, LinkProblem, read_gpu_load
from beowulf.specs.settings import Settings, parse_settings
from beowulf.store import Store
from beowulf.sync.errors import StagingError
from beowulf.sync.opening import over
from beowulf.sync.stager import Stager
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse
from beowulf.transport import Beat, Fleet, KeyRing, LinkDown, LinkEvent, LinkSettings, LinkUp, Received

log = structlog.get_logger("head")

COMMIT_LIMIT_S = 60.0
FLUSHES = 4  # of logs that are complete: a disk does few at a time


def read_settings(home: Home) -> Settings:
    if not home.settings.exists():
        return with_market(Settings(), home)
    try:
        text = home.settings.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read: {error}", where=str(home.settings)) from error
    settings = parse_settings(text, name=str(home.settings))
    for cloud in settings.renting.clouds:
        check_options(cloud)
    return with_market(settings, home)


class Service:
    """One head from start to stop."""

    def __init__(self, home: Home, settings: Settings) -> None:
        home.make()
        self._home = home
        self._stopping = threading.Event()
        self._problems: dict[NodeId, LinkProblem] = {}
        self._transfers = Transfers()
        self._samples = Samples()
        self._store = Store.open(f"sqlite:///{home.database}", now=time.time())
        public_key = transport.generate_key(home.key, f"beowulf {self._store.cluster}")
        keys = KeyRing(home.key)
        links = LinkSettings(heartbeat_s=settings.heartbeat_s)
        policy = policy_of(settings, self._store.cluster)
        self._clouds = Clouds(
            policy.renting, self._store.cluster, home.machine_keys, public_key, lambda item: self._controller.post(item)
        )
        watch = watch_here(self._store.clock, home.alive_at())
        self._controller = Controller(
            self._store, policy, mint=self._clouds.mint, first_number=home.highest_job() + 1, watch=watch
        )
        self._fleet = Fleet(self._sink, cluster=self._store.cluster, epoch=self._store.epoch, keys=keys, settings=links)
        self._flushes = ThreadPoolExecutor(FLUSHES, thread_name_prefix="flush")
        self._logs = LogFiles(home.jobs, self._fleet.send, self._logs_complete, self._flushes.submit)
        trees = TreeStore(home.trees)
        depots = registry.depots(policy.renting.clouds, self._store.cluster)
        wheels = WheelHouse(home.wheels)
        stager = Stager(over(self._fleet), trees, wheels, depots=depots, admit=self._admit)
        self._housekeeping = Housekeeping(
            lambda: self._controller.snapshot,
            stager,
            trees,
            wheels,
            home.jobs,
            home.log,
            self._store.thin,
            keep_jobs=limits_of(settings.keep_jobs),
            depots=depots.values(),
        )
        self._hands = WorkingHands(
            home,
            self._fleet,
            stager,
            self._logs,
            self._controller.post,
            self._transfers,
            self._store.latest_reports,
            self._clouds,
        )
        self._gpu_watch = GpuWatch(lambda: self._controller.snapshot, self._ask)
        self._courses = Courses(
            lambda: self._controller.snapshot, self._samples.newest, home.course, settings.heartbeat_s
        )
        self._metrics = Metrics(
            lambda: self._controller.snapshot,
            lambda: self._controller.position,
            self._store.events,
            self._samples.newest,
            lambda: sum(self._controller.orphans.values()),
        )
        head = RunningHead(
            home,
            self._store,
            self._controller,
            self._logs,
            trees,
            keys,
            links,
            self._transfers,
            self._problems,
            self._samples,
            self._courses,
            self._metrics,
            Bench(self._fleet, lambda: self._controller.snapshot, self._record_profile),
            CloudDesk(self._controller, self._store, self._clouds),
            Beside(self._fleet, lambda: self._controller.snapshot, self._store.cluster),
            self._stopping,
        )
        self._api = ApiServer(head, home.socket)
        self._hooks = Hooks(
            settings.hooks,
            home.path / "hooks",
            self._store.cluster,
            lambda: self._controller.position,
            self._store.events,
            lambda: self._controller.snapshot,
        )
        self._controller.subscribe(self._hooks.wake)
        self._metrics_server = MetricsServer(self._metrics.text, settings.metrics_port)

    def run(self) -> int:
        """Blocks until SIGTERM, SIGINT or a shutdown by the API; → the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        # To look through 100,000 loaded jobs again and again would halt the head for half a second each time.
        gc.collect()
        gc.freeze()
        self._controller.begin(self._hands)
        self._controller.start()
        self._housekeeping.start()
        self._gpu_watch.start()
        self._courses.start()
        self._api.start()
        self._metrics_server.start()
        self._hooks.start()
        self._home.pid.write_text(f"{os.getpid()}\n")
        log.info("head is up", home=str(self._home.path), cluster=self._store.cluster, epoch=self._store.epoch)
        while not self._stopping.wait(1.0) and self._controller.failure is None:
            with suppress(OSError):  # a full disk ends no head
                self._home.alive.touch()
        return self._close()

    def _close(self) -> int:
        self._housekeeping.stop()
        self._gpu_watch.stop()
        self._courses.stop()
        self._api.stop()
        self._metrics_server.stop()
        self._hooks.stop()
        self._controller.stop()
        self._hands.close()
        self._fleet.close()
        self._flushes.shutdown(wait=False, cancel_futures=True)
        self._store.close()
        self._home.pid.unlink(missing_ok=True)
        failure = self._controller.failure
        if failure is not None:
            log.critical("head ends", error=str(failure))
        return 0 if failure is None else failure.exit_code

    def _sink(self, event: LinkEvent) -> None:
        """On the links' own threads: log bytes go straight to their files, the rest to the controller."""
        match event:
            case Received(header=header) if header.get("type") == "output":
                self._log_bytes(event)
            case Received(header={"type": "answers", "id": asked, "answers": dict(answers)}) if asked == GPU_LOAD:
                self._samples.gpus(event.node, read_gpu_load(answers))
            case Beat():
                self._samples.beat(event.node, event.load, 1000 * event.round_trip_s, time.time())
            case LinkDown():
                self._samples.forget(event.node)
                self._problems[event.node] = LinkProblem(event.kind, event.reason)
                log.info("link down", node=event.node, kind=event.kind, reason=event.reason)
                self._controller.post(event)
            case LinkUp():
                self._problems.pop(event.node, None)
                log.info("link up", node=event.node)
                self._controller.post(event)
            case _:
                self._controller.post(event)

    def _ask(self, node: NodeId, header: Mapping[str, Any]) -> None:
        self._fleet.send(node, dict(header))

    def _log_bytes(self, event: Received) -> None:
        header = event.header
        try:
            tag, stream = str(header["attempt"]), str(header["stream"])
            if not self._takes_part(event.node, tag):
                raise ValueError(f"{event.node} has no part in attempt {tag!r}")
            self._logs.append(event.node, tag, stream, int(header["offset"]), event.payload)
        except (KeyError, ValueError) as error:
            log.error("log frame dropped", node=event.node, error=repr(error))
            return
        except OSError as error:  # disk full: not acknowledged, so the node keeps it, and is asked for it again
            log.error("log not written", node=event.node, error=str(error))
            self._controller.post(LogHeld(tag, event.node))
            return
        self._controller.wake()

    def _takes_part(self, node: NodeId, tag: str) -> bool:
        """A node writes the logs of its own attempts and of no other's."""
        job_id, _, number = tag.rpartition(".")
        job = self._controller.snapshot.jobs.get(job_id)
        return job is not None and any(str(one.number) == number and node in one.shares for one in job.attempts)

    def _record_profile(self, node: NodeId, profile: Profile) -> None:
        ours = Caller("beowulf", os.getuid(), admin=True)
        self._controller.ask(RecordProfile(ours, node, profile)).result(COMMIT_LIMIT_S)

    def _admit(self, node: NodeId, size_bytes: int) -> None:
        """What comes home from a rented machine costs money: it is counted before it travels, or refused."""
        if node not in self._controller.snapshot.machines:
            return
        refused = self._controller.ask(BringHome(node, size_bytes)).result(COMMIT_LIMIT_S)
        if refused:
            raise StagingError(f"{node}: {refused}")

    def _logs_complete(self, tag: str, node: NodeId) -> None:
        self._controller.post(LogsComplete(tag, node))


def with_market(settings: Settings, home: Home) -> Settings:
    """The planner's rules know what data sheets say of accelerators, and what the configured clouds have on offer.

    Raises `BadInput` for a broken catalogue.
    """
    kinds = {one.kind: one.accelerator for one in read_accelerators()}
    offers = read_catalogue(home.path) if settings.renting.clouds else ()
    market = market_of(settings.renting, offers, kinds)
    return replace(settings, rules=replace(settings.rules, market=market))


def policy_of(settings: Settings, cluster: str) -> Policy:
    return Policy(
        cluster=cluster,
        lease_s=settings.lease_s,
        node_fail_after_s=settings.node_fail_after_s,
        lost_after_s=settings.lost_after_s,
        quarantine_failures=settings.quarantine.failures,
        quarantine_window_s=settings.quarantine.within_s,
        resize_every_s=settings.resize_every_s,
        log_cap_bytes=settings.log_cap_mib << 20,
        tracking=settings.tracking,
        rules=settings.rules,
        renting=settings.renting,
    )


def serve(folder: Path) -> int:
    home = Home(folder)
    return Service(home, read_settings(home)).run()
