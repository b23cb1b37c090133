"""Slurm's commands over the fake cluster: each takes a request and answers with exit code, output and errors."""

import getopt
import json
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster import Cluster
from job import Job, expand

Answer = tuple[int, str, str]
PARTITIONS = ("main", "low", "high")
SHORT = {"J": "job-name", "p": "partition", "t": "time", "c": "cpus-per-task", "o": "output", "e": "error", "d": "dependency", "a": "array"}
SHORT |= {"n": "ntasks", "N": "nodes", "x": "exclude"}
FLAGS = ("parsable", "test-only", "requeue", "exclusive", "wait", "hold")


def sbatch(cluster: Cluster, argv: list[str], cwd: str, environment: dict[str, str]) -> Answer:
    options = {name[7:].lower().replace("_", "-"): value for name, value in environment.items() if name.startswith("SBATCH_")}
    options = {{"timelimit": "time"}.get(name, name): value for name, value in options.items()}
    given, rest = _options(argv)
    script = Path(cwd, rest[0]).read_text(encoding="utf-8")
    for line in script.splitlines():
        if line.startswith("#SBATCH "):
            options |= _options(shlex.split(line)[1:])[0]
    options |= given
    if cluster.refusals:
        return _refused(cluster.refusals.pop(0))
    if options.get("partition", "main") not in PARTITIONS:
        return (
            1,
            "",
            f"sbatch: error: invalid partition specified: {options['partition']}\n" + _refused("Invalid partition name specified")[2],
        )
    tasks = expand(options.get("array", ""))
    if tasks and max(tasks) >= cluster.settings.max_array_size:
        return _refused("Invalid job array specification")
    queued = sum(max(1, len(job.waiting)) for job in cluster.jobs if job.live)
    if cluster.settings.max_submit_jobs and queued + max(1, len(tasks)) > cluster.settings.max_submit_jobs:
        return _refused("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)")
    if "test-only" in options:
        return 0, "", f"sbatch: Job {cluster.next_id} to start at 2026-01-01T00:00:00 using 1 processors on nodes node1 in partition main\n"
    id = cluster.submit(script, options, environment, cwd)
    return 0, f"{id}\n" if "parsable" in options else f"Submitted batch job {id}\n", ""


def _refused(why: str) -> Answer:
    return 1, "", f"sbatch: error: Batch job submission failed: {why}\n"


def _options(argv: list[str]) -> tuple[dict[str, str], list[str]]:
    found, rest = {}, list(argv)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word.startswith("--"):
            name, given, value = word[2:].partition("=")
        else:
            name, given, value = SHORT[word[1]], word[2:], word[2:]
        if not given and name not in FLAGS:
            value = rest.pop(0)
        found[name] = value
    return found, rest


def squeue(cluster: Cluster, argv: list[str], cwd: str, environment: dict[str, str]) -> Answer:
    known = ["me", "noheader", "array", "name=", "jobs=", "states=", "format=", "Format=", "user=", "account=", "clusters="]
    given = {name.lstrip("-"): value for name, value in getopt.gnu_getopt(argv, "hrj:t:o:O:n:u:", known)[0]}
    given |= {
        {"j": "jobs", "t": "states", "o": "format", "O": "Format", "n": "name"}.get(name, name): value for name, value in given.items()
    }
    jobs = list(cluster.jobs)
    if "jobs" in given:
        jobs = [job for text in given["jobs"].split(",") for job in cluster.find(text)]
        if not jobs:
            return 1, "", "slurm_load_jobs error: Invalid job id specified\n"
    states = given.get("states", "").upper().split(",")
    if states == [""]:
        jobs = [job for job in jobs if job.live]
    elif states != ["ALL"]:
        jobs = [job for job in jobs if job.shown in states]
    if "name" in given:
        jobs = [job for job in jobs if job.name in given["name"].split(",")]
    if "Format" in given:
        return 0, "".join(_wide(job, given["Format"]) + "\n" for job in jobs), ""
    lines = [re.sub(r"%([A-Za-z])", lambda found, one=job: _letter(cluster, one, found[1]), given["format"]) for job in jobs]
    if "array" in given:
        lines = [line for job, line in zip(jobs, lines, strict=True) for _ in job.waiting or [0]]
    return 0, "".join(f"{line}\n" for line in lines), ""


def _letter(cluster: Cluster, job: Job, letter: str) -> str:
    left = float(job.options.get("time", 60)) * cluster.settings.minute - (time.time() - job.started if job.process else 0)
    index = ",".join(map(str, job.waiting)) if job.waiting else job.task
    values = {"A": job.id, "i": job.label, "F": job.array or job.id, "K": "N/A" if job.array is None else index, "T": job.shown}
    values |= {"r": job.reason, "N": job.node if job.process else "", "L": f"0:{max(0, int(left)):02d}", "j": job.name}
    return str((values | {"k": job.options.get("comment", "(null)"), "t": job.shown[:2]})[letter])


def _wide(job: Job, fields: str) -> str:
    values = {"State": job.shown, "Reason": job.reason, "RestartCnt": job.restarts, "PreemptTime": int(job.preempted) or "N/A"}
    return "".join(f"{values[name]!s:<{width}}" for name, width in (field.split(":") for field in fields.split(",")))


def sacct(cluster: Cluster, argv: list[str], cwd: str, environment: dict[str, str]) -> Answer:
    if not cluster.settings.accounting:
        return 1, "", "Slurm accounting storage is disabled\n"
    known = ["duplicates", "allocations", "noheader", "parsable2", "delimiter=", "format=", "jobs=", "clusters="]
    given = dict(getopt.gnu_getopt(argv, "DXnPo:j:", known)[0])
    asked, between = given["--jobs"].split(","), given.get("--delimiter", "|")
    lines = []
    for record in cluster.records:
        if any(record["job"].matches(text) and record["job"] in cluster.jobs for text in asked):
            lines.append(between.join(_accounted(record, name) for name in given["--format"].split(",")))
    return 0, "".join(f"{line}\n" for line in lines), ""


def _accounted(record: dict[str, Any], name: str) -> str:
    end = record["end"] or time.time()
    values = {
        "JobIDRaw": record["id"],
        "JobID": record["job"].label,
        "JobName": record["job"].name,
        "NodeList": record["node"] or "None assigned",
    }
    values |= {
        "State": "CANCELLED by 0" if record["state"] == "CANCELLED" else record["state"],
        "ElapsedRaw": int(end - (record["start"] or end)),
    }
    values |= {"ExitCode": f"{record['code']}:{record['number']}", "AllocTRES": f"billing=1,cpu=1,gres/gpu={record['gpus']},node=1"}
    values |= {"Start": int(record["start"]) or "None", "End": int(record["end"]) or "Unknown"}
    return str(values[name])


def scontrol(cluster: Cluster, argv: list[str], cwd: str, environment: dict[str, str]) -> Answer:
    argv = [word for word in argv if word not in ("--oneliner", "-o") and not word.startswith("--clusters=")]
    if argv[:2] == ["show", "config"]:
        return 0, f"MaxArraySize            = {cluster.settings.max_array_size}\n", ""
    if argv[:2] == ["show", "partition"]:
        return 0, f"PartitionName={argv[2]} GraceTime={int(cluster.settings.grace)} Hidden=NO\n", ""
    if argv[:2] == ["show", "node"]:
        state = "DOWN*" if argv[2] in cluster.down else "IDLE"
        return 0, f"NodeName={argv[2]} Arch=x86_64 State={state} ThreadsPerCore=1 BootTime=1\n", ""
    if argv[0] == "ping":
        return 0, "Slurmctld(primary) at fake is UP\n", ""
    if argv[0] == "update":
        changes = dict(word.split("=", 1) for word in argv[1:])
        jobs, changed = cluster.find(changes.pop("JobId")), [_change(job, changes) for job in cluster.find(argv[1].partition("=")[2])]
        return (
            _refusal(argv) if not jobs else (0 if all(changed) else 1, "", "" if all(changed) else "Job is no longer pending execution\n")
        )
    jobs = cluster.find(argv[-1])
    if not jobs:
        return _refusal(argv)
    if argv[0] == "show":
        return 0, "".join(_shown(job) + "\n" for job in jobs), ""
    for job in jobs:
        if argv[0] == "requeue":
            if job.state == "PENDING":
                return 1, "", "Job is pending execution\n"
            cluster.requeue(job)
        elif argv[0] in ("hold", "release"):
            job.held = argv[0] == "hold" and job.state == "PENDING"
            job.reason = "JobHeldUser" if job.held else "None"
    return 0, "", ""


def _refusal(argv: list[str]) -> Answer:
    return 1, "", f"scontrol: error: Invalid job id specified for job {argv[-1]}\n"


def _change(job: Job, changes: dict[str, str]) -> bool:
    if job.state != "PENDING":
        return False
    job.dependency = changes.get("Dependency", job.dependency)
    job.excluded = changes.get("ExcNodeList", job.excluded)
    return True


def _shown(job: Job) -> str:
    fields: dict[str, Any] = {"JobId": job.id}
    if job.array is not None:
        fields |= {"ArrayJobId": job.array, "ArrayTaskId": ",".join(map(str, job.waiting)) or job.task}
    fields |= {"JobName": job.name, "JobState": job.shown, "Reason": job.reason, "Dependency": job.dependency or "(null)"}
    fields |= {"Restarts": job.restarts, "ExitCode": f"{job.code}:{job.number}", "PreemptTime": int(job.preempted) or "None"}
    fields |= {"EndTime": int(job.ended) or "Unknown", "Partition": job.options.get("partition", "main")}
    fields |= {"ExcNodeList": job.excluded or "(null)", "NodeList": job.node or "(null)"}
    return " ".join(f"{name}={value}" for name, value in fields.items())


def scancel(cluster: Cluster, argv: list[str], cwd: str, environment: dict[str, str]) -> Answer:
    options, ids = getopt.gnu_getopt(argv, "s:u:bft:", ["signal=", "state=", "user=", "batch", "full", "name=", "clusters="])
    given, error = dict(options), ""
    chosen = [(job, id) for id in ids for job in cluster.find(id)] or [(job, "") for job in cluster.jobs if not ids]
    for id in ids:
        if not cluster.find(id):
            error += f"scancel: error: Kill job error on job id {id}: Invalid job id specified\n"
    for job, id in chosen:
        if not job.live or ("--state" in given and job.shown != given["--state"]) or job.name != given.get("--name", job.name):
            continue
        name = given.get("--signal", given.get("-s"))
        if name:
            job.send(name, steps="--batch" not in given, shell="--batch" in given or "--full" in given)
        elif not job.completing or job.state == "PENDING":
            cluster.cancel(job, expand(id.partition("_")[2].strip("[]")) if "_" in id else None)
    return 1 if error else 0, "", error


def sinfo(cluster: Cluster, argv: list[str], cwd: str, environment: dict[str, str]) -> Answer:
    if "--format=%N" in argv:
        return 0, "".join(f"node{number}\n" for number in range(1, cluster.settings.nodes + 1)), ""
    return 0, f"gpu:{cluster.settings.gpu_type}:{cluster.settings.gpus}|(null)\n", ""


def sacctmgr(cluster: Cluster, argv: list[str], cwd: str, environment: dict[str, str]) -> Answer:
    if not cluster.settings.accounting:
        return 1, "", "You are not running a supported accounting_storage plugin\n"
    limit = cluster.settings.max_submit_jobs or ""
    return 0, f"|{limit}||normal\n" if "assoc" in argv else "normal||\n", ""


def fakeslurm(cluster: Cluster, argv: list[str], cwd: str, environment: dict[str, str]) -> Answer:
    """What befalls a cluster: `preempt JOB`, `fail NODE [leave]`, `repair NODE`, `lose JOB`, `duplicate JOB`,
    `botch JOB` (its launch fails), `answer yes|no`, `mute SECONDS`, `refuse MESSAGE`, `set NAME JSON`, `calls` (what was
    asked, a line each), `clear`, `stop`."""
    verb, *rest = argv
    jobs = cluster.find(rest[0]) if verb in ("preempt", "lose", "duplicate", "botch") else []
    for job in jobs:
        getattr(cluster, verb)(job)
    if verb == "fail":
        cluster.fail(rest[0], leave="leave" in rest)
    elif verb == "repair":
        cluster.down.discard(rest[0])
    elif verb == "answer":
        cluster.answering = rest[0] == "yes"
    elif verb == "mute":
        cluster.mute_until = time.time() + float(rest[0])
    elif verb == "refuse":
        cluster.refusals.append(rest[0])
    elif verb == "set":
        setattr(cluster.settings, rest[0], json.loads(rest[1]))
    elif verb == "clear":
        cluster.clear()
    elif verb == "calls":
        return 0, "".join(f"{call}\n" for call in cluster.calls), ""
    return 0, "", ""


def step(cluster: Cluster, argv: list[str], cwd: str, environment: dict[str, str]) -> Answer:
    """From srun: this process is a step of that job. Answers with the names of its output files."""
    id, pid, restarts, *patterns = argv
    job = next(job for job in cluster.jobs if str(job.id) == id and str(job.restarts) == restarts)
    job.steps.append(int(pid))
    return 0, json.dumps([job.path(pattern) for pattern in patterns]), ""


COMMANDS: dict[str, Callable[[Cluster, list[str], str, dict[str, str]], Answer]] = {
    one.__name__: one for one in (sbatch, squeue, sacct, scontrol, scancel, sinfo, sacctmgr, fakeslurm, step)
}
