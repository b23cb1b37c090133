"""The fake cluster: its queue, its nodes, and what may befall them."""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from job import Job, expand


@dataclass
class Settings:
    """Seconds, unless said otherwise. `minute` is how long a minute of a time limit lasts."""

    nodes: int = 3
    cpus: int = 8
    gpus: int = 4
    gpu_type: str = "h100"
    accounting: bool = True
    scontrol_in_jobs: bool = True
    path_in_jobs: str = ""
    preempt_signal: bool = True
    minute: float = 60
    grace: float = 1.5
    kill_wait: float = 0.6
    requeue_wait: float = 0.2
    max_array_size: int = 1001
    max_submit_jobs: int = 0


@dataclass
class Cluster:
    """State in memory; `tick` moves it on."""

    folder: Path
    settings: Settings
    jobs: list[Job] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    next_id: int = 1
    down: set[str] = field(default_factory=set)
    answering: bool = True
    mute_until: float = 0
    refusals: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def submit(self, script: str, options: dict[str, str], environment: dict[str, str], folder: str) -> int:
        job = Job(self.next_id, options, script, environment, folder, dependency=options.get("dependency", ""))
        job.excluded = options.get("exclude", "")
        self.next_id += 1
        if "array" in options:
            job.array, job.waiting = job.id, expand(options["array"])
        self.jobs.append(job)
        return job.id

    def find(self, text: str) -> list[Job]:
        return [job for job in self.jobs if job.matches(text)]

    def tick(self) -> None:
        for job in list(self.jobs):
            if job.process is not None:
                self._watch(job)
        for job in list(self.jobs):
            while job.state == "PENDING" and not job.completing and self._start(job):
                pass

    def _watch(self, job: Job) -> None:
        assert job.process is not None
        now, minutes = time.time(), job.options.get("time")
        if job.process.poll() is None:
            if job.completing and now > job.kill_at:
                job.send("KILL", shell=True)
            limit = job.started + float(minutes) * self.settings.minute if minutes else None
            if job.preempted and not job.completing and now > job.preempted + self.settings.grace:
                self.requeue(job, "PREEMPTED")
            elif limit and not job.completing:
                self._time(job, now, limit)
            return
        code = job.process.returncode
        job.process = None
        if job.completing:
            job.completing, job.gpus = False, []
            if job.state == "PENDING":
                job.reason, job.not_before = "BeginTime", now + self.settings.requeue_wait
            return
        job.code, job.number = (code, 0) if code >= 0 else (0, -code)
        job.state, job.ended, job.gpus = "FAILED" if code else "COMPLETED", now, []
        job.reason = "NonZeroExitCode" if code else "None"
        self._record(job, job.state)

    def _time(self, job: Job, now: float, limit: float) -> None:
        where, _, before = job.options.get("signal", "").rpartition(":")[2].partition("@")
        if where and not job.signalled and now > limit - float(before or 60) * self.settings.minute / 60:
            shell = job.options["signal"].startswith("B:")
            job.signalled = True
            job.send(where, steps=not shell, shell=shell)
        if now > limit:
            self._record(job, "TIMEOUT")
            job.terminate("TIMEOUT", "TimeLimit", self.settings.kill_wait)

    def _start(self, job: Job) -> bool:
        if job.held or time.time() < job.not_before or not self._free(job.dependency, job):
            return False
        throttle = job.options.get("array", "").partition("%")[2]
        if throttle and sum(one.array == job.array and one.process is not None for one in self.jobs) >= int(throttle):
            job.reason = "JobArrayTaskLimit"
            return False
        place = self._place(job)
        if place is None:
            job.reason = "Resources"
            return False
        task = job
        if job.waiting:
            number = job.waiting.pop(0)
            # As Slurm does: a task that starts gets an id of its own; the last one keeps the array's.
            if job.waiting:
                task = dataclasses.replace(job, id=self.next_id, waiting=[], steps=[])
                self.next_id += 1
                self.jobs.append(task)
            task.task = number
        path = {"PATH": self.settings.path_in_jobs} if self.settings.path_in_jobs else {}
        task.begin(*place, {"FAKE_SLURM": str(self.folder), **path})
        self._record(task, "RUNNING", new=True)
        return task is not job

    def _free(self, dependency: str, job: Job) -> bool:
        for part in filter(None, dependency.split(",")):
            kind, *ids = part.split(":")
            for id in ids:
                others = self.find(id)
                if any(one.live for one in others):
                    job.reason = "Dependency"
                    return False
                if kind == "afterok" and any(one.state != "COMPLETED" for one in others):
                    job.reason = "DependencyNeverSatisfied"
                    return False
        return True

    def _place(self, job: Job) -> tuple[str, list[int]] | None:
        for number in range(1, self.settings.nodes + 1):
            node = f"node{number}"
            here = [one for one in self.jobs if one.node == node and one.process is not None]
            cards = [card for card in range(self.settings.gpus) if not any(card in one.gpus for one in here)]
            cores = self.settings.cpus - sum(one.cores for one in here)
            if node not in self.down and node not in job.excluded.split(",") and cores >= job.cores and len(cards) >= job.wanted_gpus:
                return node, cards[: job.wanted_gpus]
        return None

    def cancel(self, job: Job, only: list[int] | None = None) -> None:
        if job.waiting and only is not None:
            job.waiting = [task for task in job.waiting if task not in only]
            if job.waiting:
                return
        self._record(job, "CANCELLED", new=job.process is None)
        if job.process is None:
            job.state, job.ended, job.waiting = "CANCELLED", time.time(), []
        else:
            job.terminate("CANCELLED", "None", self.settings.kill_wait)

    def requeue(self, job: Job, state: str = "REQUEUED") -> None:
        """As Slurm does it, which asks nobody whether the job was cancelled: even then it is brought back."""
        job.restarts += 1
        self._record(job, state)
        job.preempted = 0
        if job.process is None:
            job.state, job.reason, job.not_before = "PENDING", "BeginTime", time.time() + self.settings.requeue_wait
        else:
            job.terminate("PENDING", "None", self.settings.kill_wait)

    def preempt(self, job: Job) -> None:
        job.preempted = time.time()
        if self.settings.preempt_signal and "signal" in job.options:
            shell = job.options["signal"].startswith("B:")
            job.send(job.options["signal"].rpartition(":")[2].partition("@")[0], steps=not shell, shell=shell)
        else:
            for name in ("CONT", "TERM"):
                job.send(name)

    def fail(self, node: str, *, leave: bool) -> None:
        """The node is gone; with `leave` only for Slurm: its processes go on, and their jobs start elsewhere."""
        self.down.add(node)
        for job in [one for one in self.jobs if one.node == node and one.process is not None and not one.completing]:
            self._record(job, "NODE_FAIL")
            job.restarts += 1
            if not leave:
                job.send("KILL", shell=True)
            job.state, job.reason, job.process, job.gpus = "PENDING", "BeginTime", None, []
            job.not_before = time.time() + self.settings.requeue_wait

    def lose(self, job: Job) -> None:
        """Slurm knows nothing of it any more, and gives its id away again."""
        job.send("KILL", shell=True)
        self.jobs.remove(job)
        self.records = [record for record in self.records if record["id"] != job.id]
        self.next_id = min(self.next_id, job.id)

    def botch(self, job: Job) -> None:
        """Its node could not begin it: it is put back, and held."""
        job.held, job.reason = True, "launch failed requeued held"

    def duplicate(self, job: Job) -> None:
        """Run it a second time while it still runs, as happens when Slurm has lost sight of a job whose node lives."""
        twin = dataclasses.replace(job, restarts=job.restarts + 1, state="PENDING", process=None, steps=[], node="", gpus=[])
        twin.excluded = job.node
        self.jobs.append(twin)

    def _record(self, job: Job, state: str, *, new: bool = False) -> None:
        if new:
            self.records.append(
                {"id": job.id, "job": job, "label": job.label, "start": job.started, "node": job.node, "gpus": len(job.gpus)}
            )
        mine = [record for record in self.records if record["job"] is job]
        if mine:
            mine[-1] |= {"state": state, "end": 0 if state == "RUNNING" else time.time(), "code": job.code, "number": job.number}

    def clear(self) -> None:
        """Kill and forget everything."""
        for job in self.jobs:
            job.send("KILL", shell=True)
            if job.process is not None:
                job.process.wait()
        self.jobs, self.records, self.calls, self.refusals = [], [], [], []
