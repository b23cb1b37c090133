"""A worker of a search that trains by sleeping: it asks, seals, claims, saves and publishes with the code that real workers use.

It takes up what a dead worker left, from the step that was saved, and else asks for more; with nothing to ask and nothing left behind it
leaves. All that it does is found in files, for it may be killed at any moment.
"""

import json
import math
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from persona_exp.search.ask_files import Ask
    from persona_exp.trial.attempt_claim_and_heartbeat import Attempt

OBJECTIVE = "bits_per_byte"
STEPS = "steps.jsonl"


def duration(seed: int, number: int, median: float, sigma: float) -> float:
    """Return how long the trial of ask `number` trains (seconds), in whichever process: lognormal."""
    return median * math.exp(random.Random(f"{seed}-{number}").gauss(0, sigma))


def work(folder: Path, log: Path, seed: int, median: float, sigma: float, steps: int) -> None:
    """Work on the search in `folder` until there is nothing to do; a line in `log` for each time it was between two trials."""
    from persona_exp.launch.recovery.heartbeat_lease import Observer
    from persona_exp.launch.recovery.retry_decision import decide
    from persona_exp.search.composed_configs import read_composed
    from persona_exp.search.rebuilt_study import RebuiltStudy
    from persona_exp.search.suggestion import ask_next
    from persona_exp.trial.attempt_claim_and_heartbeat import claim
    from persona_exp.trial.seal_facts import all_published
    from persona_exp.trial.trial_directory import trial_directory

    def claimed(ask: "Ask") -> "Attempt | None":
        (asked,) = ask.trials
        directory = trial_directory(study.runs, asked.trial_id)
        decision = decide(directory, asked.seal, observer.liveness, folder.name)
        if decision.next != "run":
            return None
        return claim(directory.attempts, dead=decision.dead, unless=lambda: all_published(directory.seals / asked.seal), seal=asked.seal)

    observer, study, composed = Observer(), RebuiltStudy(folder), read_composed(folder)
    first = True
    while True:
        wall, cpu = time.perf_counter(), time.process_time()
        study.refresh()
        left = [ask for ask, result in zip(study.asks, study.results, strict=True) if ask and result.state == "open"]
        ask, attempt = next(((one, found) for one in left if (found := claimed(one))), (None, None))
        if ask is None:
            ask = ask_next(study, composed)
            attempt = claimed(ask) if ask else None
        line = {"asking": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "first": first}
        first = False
        with log.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
        if ask is None:
            return
        if attempt:
            _train(ask, attempt, study.runs, duration(seed, ask.number, median, sigma), steps)


def _train(ask: "Ask", attempt: "Attempt", runs: Path, seconds: float, steps: int) -> None:
    """Sleep `seconds` in `steps` equal parts, or what is left of them, save after each, and publish an adapter and its evaluation."""
    from persona_exp.trial.trial_directory import trial_directory
    from persona_exp.trial.trial_status import saved_step

    (asked,) = ask.trials
    directory = trial_directory(runs, asked.trial_id)
    assert asked.eval_id
    done = saved_step(directory.path) or 0
    for step in range(done + 1, steps + 1):
        with (attempt.folder / STEPS).open("a", encoding="utf-8") as begun:
            begun.write(f"{step}\n")
        time.sleep(seconds / steps)
        attempt.note(checkpoint_step=step)
    value = (math.log10(ask.params["optim.lr"]) + 3) ** 2 + 0.01 * ask.params["lora.r"]
    what = {"adapter_model.safetensors": ""}, {"metrics.json": json.dumps({"metrics": {OBJECTIVE: {"value": value}}})}
    for files, final in zip(what, (directory.adapter, directory.evaluations / asked.eval_id), strict=True):
        staged = attempt.staging / final.name
        staged.mkdir()
        for name, text in files.items():
            (staged / name).write_text(text, encoding="utf-8")
        attempt.publish(staged, final)
    attempt.end("finished")
