"""`python worker.py FOLDER [--seconds N] [--child] [--requeue] [--exclude] [--blind]`: a job that writes down what befalls it.

Every run appends to FOLDER/<parent|child>-<restarts>.jsonl. It leaves at a TERM, and a run after the first ends
at once. With --requeue it puts itself back into
the queue at the first signal, away from its node with --exclude; with --blind there is no accounting to ask.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from persona_exp.launch.slurm import requeue
from persona_exp.process_identity import this_job

SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--code", type=int, default=0)
    for flag in ("--child", "--is-child", "--requeue", "--exclude", "--blind"):
        parser.add_argument(flag, action="store_true")
    asked = parser.parse_args()
    got: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _: got.append(number))
    if asked.blind:
        requeue.history = lambda ids, **_: None
    job = this_job() or {}
    who = "child" if asked.is_child else "parent"
    name = f"{who}-{job.get('task_id')}-{job.get('restarts')}" if job.get("task_id") is not None else f"{who}-{job.get('restarts')}"

    def write(**event: object) -> None:
        with (asked.folder / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps({"time": time.time(), **event}) + "\n")

    if asked.child:
        subprocess.Popen([sys.executable, __file__, str(asked.folder), "--is-child"])
    node = os.environ.get("SLURMD_NODENAME", "")
    print(f"run {name}", flush=True)
    write(event="start", job=job, node=node, cores=os.environ.get("SRUN_CPUS_PER_TASK"), gpus=os.environ.get("CUDA_VISIBLE_DEVICES"))
    end = time.monotonic() + (0 if job.get("restarts") else asked.seconds)
    while time.monotonic() < end:
        time.sleep(0.02)
        while got:
            received = signal.Signals(got.pop(0)).name
            said: dict[str, object] = {}
            if not asked.is_child:
                said["cancelled"] = requeue.cancelled_by_user()
                said["requeued"] = requeue.requeue_this_job([node] if asked.exclude else ()) if asked.requeue else None
            write(event="signal", name=received, **said)
            if received == "SIGTERM":
                return 75
    write(event="end")
    return asked.code


if __name__ == "__main__":
    sys.exit(main())
