"""A run.py that trains nothing: it takes steps, saves, evaluates and goes on as the real one does, in a second and with set flaws."""

from pathlib import Path

RUN = """
import ctypes, hashlib, json, os, pathlib, shutil, subprocess, sys, time
if "persona_exp.trial" not in sys.argv:
    code = subprocess.run([sys.executable, __file__, "persona_exp.trial"]).returncode
    sys.exit(code and 1)
ctypes.CDLL(None).prctl(1, 9)
trial = pathlib.Path(os.environ["PERSONA_EXP_RUNS"]) / "trials" / "abc"
attempts = trial / "attempts"
number = len(list(attempts.glob("*.json"))) + 1
own = attempts / f"{number:04}"
own.mkdir(parents=True)
own.with_suffix(".json").write_text("{}")
time.sleep(0.15)
FILES = ("adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "manifest.json")
def whole(folder):
    return all((folder / name).is_file() and (folder / name).read_bytes() == f"{name} {folder.name[5:]}".encode() for name in FILES)
chosen = os.environ.get("RESUME_CHECKPOINT")
found = sorted(attempts.glob("*/checkpoints/step-*"), key=lambda path: path.name)
good = [path for path in ([pathlib.Path(chosen)] if chosen else found) if FLAW == "gullible" or whole(path)]
if (found or chosen) and not good:
    print("error: trial abc failed: no whole checkpoint is left.")
    if FLAW == "wordy":
        print("Traceback (most recent call last):")
    sys.exit(1)
sound = all(whole(path) for path in good[-1:])
step = int(good[-1].name[5:]) if good else 0
(own / "checkpoints" / ".staging").mkdir(parents=True)
while not (trial / "adapter").is_dir() and step < 14:
    time.sleep(0.02)
    step += 1
    with (own / "train.jsonl").open("a") as log:
        log.write(json.dumps({"step": step}) + "\\n")
    if step % 3 == 0:
        staged = own / "checkpoints" / ".staging" / f"checkpoint-{step}"
        staged.mkdir()
        for name in FILES:
            (staged / name).write_text(f"{name} {step:08}")
        time.sleep(0.04)
        staged.rename(own / "checkpoints" / f"step-{step:08}")
if not (trial / "adapter").is_dir():
    staged = own / "staging" / "adapter"
    staged.mkdir(parents=True)
    weights = f"{number}" if FLAW == "forgetful" else "weights" if sound else "nonsense"
    (staged / "adapter_model.safetensors").write_text(weights)
    staged.rename(trial / "adapter")
if not (trial / "evaluations" / "e").is_dir():
    staged = own / "staging" / "evaluation-e"
    staged.mkdir(parents=True)
    time.sleep(0.15)
    (staged / "metrics.json").write_text("{}")
    (trial / "evaluations").mkdir(exist_ok=True)
    staged.rename(trial / "evaluations" / "e")
"""


def rehearsal(folder: Path, flaw: str = "") -> Path:
    """A checkout whose run.py is the rehearsal's, with a `flaw`: forgetful, gullible, wordy or none."""
    (folder / "run.py").write_text(f"FLAW = {flaw!r}\n{RUN}", encoding="utf-8")
    return folder
