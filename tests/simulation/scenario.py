"""The scenario of a seed: a job, a cluster, and drivers that die, pause and are restarted until all is settled."""

import random
from collections.abc import Callable

from samurai_batch.errors import OutputLockedError, SamuraiBatchError, StorageError
from samurai_batch.ledger.lease import Holder
from samurai_batch.ledger.status import RunSummary
from samurai_batch.planning.orders import Order
from samurai_batch.planning.retry import RetryLimits
from samurai_batch.runtime.driver import Environment, RunDescription, drive
from samurai_batch.runtime.pool import Pool
from samurai_batch.runtime.settings import DriverSettings
from tests.runtime.fakes import RECIPE, NoProgress
from tests.simulation.checks import Checks
from tests.simulation.faults import CALM, DriverWeather, draw_faults
from tests.simulation.jobs import draw_job
from tests.simulation.pool import Cluster, SimulatedPool
from tests.simulation.stores import Killed, MemoryStore, StoreView
from tests.simulation.timeline import Timeline

OUTPUT = "sim://out"
STALE_AFTER_S = 60.0
MOST_WAITS = 5000
AUTO_PROMPTS_FROM = 1_000_000
"""From this seed on, half of the tracks have an auto prompt."""
DISCOVERIES_FROM = 2_000_000
"""From this seed on, most videos have a discover prompt."""
CARRIED_FROM = 3_000_000
"""From this seed on, half of the tracks of later videos begin with the memories of a track of an earlier one."""
MOST_RUNS = 100


class Scenario:
    """``trace`` receives a line for every event."""

    def __init__(self, seed: int, trace: Callable[[str], None] = lambda line: None) -> None:
        self.chance = random.Random(seed)
        self.timeline = Timeline()
        self.store = MemoryStore()
        self.job = draw_job(
            self.chance,
            auto_prompts=0.5 if DISCOVERIES_FROM > seed >= AUTO_PROMPTS_FROM else 0.2 if seed >= CARRIED_FROM else 0.0,
            discoveries=0.7 if CARRIED_FROM > seed >= DISCOVERIES_FROM else 0.0,
            carried=0.5 if seed >= CARRIED_FROM else 0.0,
        )
        self.faults = draw_faults(self.chance)
        self.num_runs = 0
        self.num_driver_faults = 0
        self.num_waits = 0
        self.job.put_videos(self.store)
        self.checks = Checks(self.job, self.store, OUTPUT, self.timeline.now_s, STALE_AFTER_S)
        self.cluster = Cluster(
            timeline=self.timeline,
            store=self.store,
            chance=self.chance,
            output=OUTPUT,
            num_nodes=self.chance.randint(1, 3),
            most_legs_in_memory=self.job.most_legs_in_memory,
            poisoned=frozenset(key for key in self.job.endings if self.chance.random() < self.faults.poison),
            job=self.job,
            trace=lambda line: trace(f"{self.timeline.elapsed_s():8.1f} {line}"),
        )
        self.cluster.trace(f"{self.job.contents}\n{self.job.tracks}\n{self.faults}")

    def run(self) -> None:
        """Run with faults until a run finishes; then run without faults and retry what failed because of them."""
        self._run_until_finished()
        self.checks.after_troubles()
        self.faults = CALM
        driver = self._run_until_finished()
        self.checks.after_calm(has_worked=driver.pool is not None)

    def has_driver_trouble(self, likelihood: float) -> bool:
        """The number of driver faults is limited, so that one run finishes."""
        happens = self.num_driver_faults < self.faults.num_driver and self.chance.random() < likelihood
        self.num_driver_faults += happens
        return happens

    def start_driver(self) -> "SimulatedDriver":
        """Run one driver to its end."""
        self.num_runs += 1
        assert self.num_runs < MOST_RUNS, "no run finishes"
        driver = SimulatedDriver(self, f"run{self.num_runs}")
        self.cluster.trace(f"{driver.run_id} starts")
        driver.drive()
        self.cluster.trace(f"{driver.run_id} ends: {driver.ending}")
        return driver

    def _run_until_finished(self) -> "SimulatedDriver":
        while (driver := self.start_driver()).ending != "finished":
            self.timeline.advance(self.chance.uniform(0, 40))
        return driver


class SimulatedDriver:
    """The real `drive`, in a simulated process that may be killed, stopped or suspended."""

    def __init__(self, scenario: Scenario, run_id: str) -> None:
        self.run_id = run_id
        self.pool: SimulatedPool | None = None
        self.ending = "killed"
        self._scenario = scenario
        self._weather = DriverWeather(
            lambda: scenario.has_driver_trouble(scenario.faults.driver_call / 2),
            scenario.chance,
            scenario.timeline.elapsed_s,
        )
        self._is_stopping = False
        self._has_slept = False

    def drive(self) -> None:
        """Run to any end; raises only errors that a driver must not raise here."""
        try:
            summary = self._drive()
        except Killed:
            assert self._weather.is_dead
        except OutputLockedError:
            self.ending = "refused"
            assert self._has_slept or self._scenario.num_driver_faults, "no other run can hold the lease"
        except StorageError:
            self.ending = "storage error"
            assert self._weather.has_failed
        except SamuraiBatchError as error:
            self.ending = str(error)
            assert "no replica could be started" in self.ending
        else:
            self.ending = summary.status
            if self.ending == "finished":
                self._scenario.checks.finished(summary, self.pool.accounts if self.pool else None)

    def _drive(self) -> RunSummary:
        scenario = self._scenario
        settings = DriverSettings(
            output=OUTPUT,
            detections=scenario.job.detections,
            chunk_frames=scenario.job.chunk_frames,
            max_tracks_per_shard=scenario.job.max_tracks_per_shard,
            keep_partial=scenario.job.keep_partial,
            limits=RetryLimits(),
            num_transfers=1,  # with threads, a seed would not be reproducible
            tick_s=5.0,
            heartbeat_s=10.0,
            stale_after_s=STALE_AFTER_S,
            chunks_per_replica=scenario.job.chunks_per_replica,
            retry_failed=scenario.faults is CALM,
        )
        environment = Environment(
            store=StoreView(scenario.store, self._weather),
            clock=scenario.timeline,
            progress=NoProgress(),
            make_pool=self._make_pool,
            should_stop=lambda: self._is_stopping,
            holder=Holder("a machine of the simulation", 1, self.run_id),
            sleep=scenario.timeline.advance,
        )
        return drive(scenario.job.tracks, RECIPE, settings, RunDescription(self.run_id, {}, {}), environment)

    def _make_pool(self) -> Pool:
        self.pool = SimulatedPool(
            self._scenario.cluster, self._scenario.faults, self.run_id, self._on_wait, self._on_order
        )
        return self.pool

    def _on_order(self, order: Order) -> None:
        self._scenario.checks.given(self.run_id, order)

    def _on_wait(self) -> None:
        scenario = self._scenario
        scenario.num_waits += 1
        assert scenario.num_waits < MOST_WAITS, "the run does not end"
        if scenario.has_driver_trouble(scenario.faults.driver_tick):
            trouble = scenario.chance.choice(["kill", "stop", "sleep"])
            scenario.cluster.trace(f"{self.run_id}: {trouble}")
            if trouble == "kill":
                self._weather.die()
            elif trouble == "stop":
                self._is_stopping = True
            else:
                self._sleep()

    def _sleep(self) -> None:
        """This driver is suspended while time passes and the job is started again elsewhere."""
        self._has_slept = True
        self._scenario.timeline.advance(self._scenario.chance.choice([0.5, 1.5, 2.5]) * STALE_AFTER_S)
        for _ in range(self._scenario.chance.randint(1, 2)):
            self._scenario.start_driver()
