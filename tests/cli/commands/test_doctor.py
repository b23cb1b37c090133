"""`persona-exp doctor`: one line a check, each with its fix, whatever the site lacks."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from persona_exp.cli.commands import doctor
from persona_exp.config.schema import Cluster, Config
from persona_exp.errors import UserError
from persona_exp.launch import doctor_checks
from persona_exp.launch.check_result import Check
from persona_exp.launch.doctor_checks import check_disks, check_gpu, check_slurm
from persona_exp.launch.slurm.site_limits import Limits
from persona_exp.launch.slurm.slurm_command import Answer

PARTITIONS = "cpu*|up|1-00:00:00|(null)\nbig|up|4:00:00|gpu:a100:8(S:0-1)\nold|down|infinite|gpu:v100:4\n"


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> dict[str, Answer | None]:
    """A site whose answers can be set by command."""
    answers: dict[str, Answer | None] = {
        "sinfo": Answer(0, PARTITIONS, ""),
        "sbatch": Answer(0, "slurm 24.05\n", ""),
        "sacct": Answer(0, "", ""),
    }
    monkeypatch.setattr(doctor_checks, "ask", lambda command, **_: answers[command[0]])
    monkeypatch.setattr(doctor_checks, "at_hand", lambda name="sbatch": name in ("sbatch", "squeue", "scontrol", "scancel", "srun"))
    monkeypatch.setattr(doctor_checks.site_limits, "limits", lambda *_, **__: Limits(1001, None, 80.0))
    monkeypatch.setattr(doctor_checks.submit_and_cancel, "test_only", lambda *_: "Job 5 to start at noon")
    return answers


def one(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def test_without_slurm_it_is_a_warning_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "at_hand", lambda name="sbatch": False)
    (check,) = check_slurm(Cluster(name="local"), {})
    assert (check.mark, check.found) == ("warn", "sbatch is not installed here")
    assert "hydra/launcher=local" in check.fix


def test_a_site_that_is_well_has_no_fix(slurm: dict[str, Answer | None]) -> None:
    checks = check_slurm(Cluster(name="c", partition="big", gpus_per_node="a100:1"), {})
    assert {check.mark for check in checks} == {"ok"}
    assert {check.fix for check in checks} == {""}
    assert one(checks, "limits").found == "arrays up to index 1,000, any number of jobs submitted at once"


def test_a_controller_that_does_not_answer_is_asked_once(slurm: dict[str, Answer | None]) -> None:
    slurm["sinfo"] = None
    (check,) = check_slurm(Cluster(name="c"), {})
    assert (check.mark, check.found) == ("fail", "the controller does not answer (no answer for 3 s)")


def test_commands_without_a_cluster_are_a_warning(slurm: dict[str, Answer | None]) -> None:
    slurm["sinfo"] = Answer(1, "", "sinfo: error: fetch_config: DNS SRV lookup failed\nsinfo: fatal: Could not establish a source\n")
    (check,) = check_slurm(Cluster(name="local"), {})
    assert (check.mark, "belong to no cluster" in check.found) == ("warn", True)


@pytest.mark.parametrize(
    ("asked", "found", "fix"),
    [
        ({"partition": "none"}, "there is no none", "cluster.partition to one of big, cpu, old"),
        ({"partition": "old"}, "old is down", "another partition"),
        ({"partition": "big", "timeout_min": 300}, "240 min", "cluster.timeout_min=240"),
        ({"partition": "big", "gpus_per_node": "h100:1"}, "big has no h100", "cluster.gpus_per_node"),
        ({"gpus_per_node": "1"}, "cpu has no GPU", "cluster.gpus_per_node"),
    ],
)
def test_what_a_partition_lacks_fails_with_its_fix(slurm: dict[str, Answer | None], asked: dict[str, Any], found: str, fix: str) -> None:
    check = one(check_slurm(Cluster(name="c", **asked), {}), "partition")
    assert check.mark == "fail"
    assert found in check.found
    assert fix in check.fix


def test_no_accounting_and_no_scontrol_are_warnings(slurm: dict[str, Answer | None], monkeypatch: pytest.MonkeyPatch) -> None:
    slurm["sacct"] = Answer(1, "", "Slurm accounting storage is disabled")
    monkeypatch.setattr(doctor_checks, "at_hand", lambda name="sbatch": name != "scontrol")
    checks = check_slurm(Cluster(name="c"), {})
    assert one(checks, "accounting").mark == one(checks, "commands").mark == "warn"
    assert "scontrol" in one(checks, "commands").found


def test_what_sbatch_refuses_is_reported_in_its_words(slurm: dict[str, Answer | None], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise UserError("Slurm did not take /tmp/doctor.sbatch: Invalid account or account/partition combination specified.")

    monkeypatch.setattr(doctor_checks.submit_and_cancel, "test_only", refuse)
    check = one(check_slurm(Cluster(name="c"), {}), "sbatch --test-only")
    assert (check.mark, check.found) == ("fail", "Invalid account or account/partition combination specified")


def test_the_keepers_submission_is_tried_too(slurm: dict[str, Answer | None], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_little_memory(text: str, path: Path) -> str:
        if "--mem=4GB" in text:
            raise UserError(f"Slurm did not take {path}: Memory specification can not be satisfied.")
        return "Job 5 to start at noon"

    monkeypatch.setattr(doctor_checks.submit_and_cancel, "test_only", refuse_little_memory)
    checks = check_slurm(Cluster(name="c"), {"mem_gb": 64})
    assert (one(checks, "sbatch --test-only").mark, one(checks, "keeper").mark) == ("ok", "fail")
    assert one(checks, "keeper").found == "Memory specification can not be satisfied"
    assert "keeper_mem_gb" in one(checks, "keeper").fix
    assert one(check_slurm(Cluster(name="c", keeper_mem_gb=8), {"mem_gb": 64}), "keeper").mark == "ok"


def test_a_gpu_without_bfloat16_is_reported(config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "_run", lambda _: "Tesla V100-SXM2-32GB, 32768, 7.0, 550.1")
    checks = check_gpu(config("model.attention=flash_attention_2"))
    assert one(checks, "GPU").found == "Tesla V100-SXM2-32GB, 32 GiB, driver 550.1"
    assert one(checks, "bf16").mark == "warn"
    assert "model.dtype=float16" in one(checks, "bf16").fix
    assert one(checks, "attention").mark == "fail"


@pytest.mark.parametrize(
    ("driver", "built", "mark", "words"),
    [
        ("12.4", "13.0", "fail", "the driver is for CUDA 12.4"),
        ("13.0", None, "fail", "built for processors alone"),
        ("13.0", "13.0", "ok", "torch for CUDA 13.0, a driver for CUDA 13.0"),
    ],
)
def test_the_driver_is_compared_with_torch_s_build(
    config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, driver: str, built: str | None, mark: str, words: str
) -> None:
    monkeypatch.setattr(doctor_checks, "_run", lambda _: "NVIDIA A100, 81920, 8.0, 550.1")
    monkeypatch.setattr(doctor_checks, "driver_cuda", lambda: driver)
    monkeypatch.setattr(doctor_checks, "torch_cuda", lambda: built)
    check = one(check_gpu(config()), "kernels")
    assert (check.mark, words in check.found) == (mark, True)
    assert mark == "ok" or "make setup TORCH=cu1" in check.fix


def test_a_folder_that_cannot_be_written_to_fails(config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor_checks.os, "access", lambda path, mode: not str(path).startswith(str(tmp_path)))
    assert one(check_disks(config(f"runs={tmp_path}/runs")), "runs").mark == "fail"


def test_a_file_system_without_hard_links_fails(config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(doctor_checks.os, "link", refuse)
    check = one(check_disks(config(f"runs={tmp_path}/runs")), "hard links")
    assert check.mark == "fail"
    assert "PERSONA_EXP_RUNS" in check.fix


def test_little_room_and_a_scratch_that_is_only_on_nodes_are_warnings(config: Callable[..., Config], tmp_path: Path) -> None:
    asked = config(f"runs={tmp_path}", "cluster.scratch=$ONLY_ON_A_NODE/x", "cluster.stage=[model]")
    check = one(check_disks(asked), "scratch")
    assert (check.mark, "compute nodes" in check.fix) == ("warn", True)


def test_a_hub_model_that_is_not_here_says_how_to_get_it(config: Callable[..., Config], tmp_path: Path) -> None:
    check = one(check_disks(config(f"runs={tmp_path}", "model=qwen3-32b")), "model")
    assert (check.mark, "hf download Qwen/Qwen3-32B" in check.fix) == ("warn", True)


def test_a_model_is_compared_with_the_disk_and_a_job_s_memory(
    config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor_checks.hub_download, "download_bytes", lambda *_, **__: 65_000_000_000)
    asked = config(f"runs={tmp_path}", "model=qwen3-32b", "cluster.mem_gb=32")
    monkeypatch.setattr(doctor_checks.hub_download.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**12))
    checks = check_disks(asked)
    assert "65.0 GB" in one(checks, "model").found
    memory = one(checks, "memory")
    assert (memory.mark, "hydra.launcher.mem_gb=70" in memory.fix) == ("warn", True)
    monkeypatch.setattr(doctor_checks.hub_download.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    model = one(check_disks(asked), "model")
    assert (model.mark, "1.0 GB free" in model.fix) == ("fail", True)


def test_it_prints_one_line_a_check_and_the_exit_code_tells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    checks = [Check("GPU", "warn", "none", "get one"), Check("runs", "ok", "72 GB free")]
    monkeypatch.setattr(doctor, "examine", lambda _: checks)
    code, answer = doctor._run(argparse.Namespace(overrides=[], json=False))
    assert code == 0
    assert capsys.readouterr().out.splitlines() == ["warn  GPU   none → get one", "ok    runs  72 GB free"]
    assert answer["fit"]
    checks.append(Check("partition", "fail", "there is no x", "take y"))
    code, answer = doctor._run(argparse.Namespace(overrides=[], json=True))
    assert code == 1
    assert json.loads(json.dumps(answer))["checks"][-1]["fix"] == "take y"


def test_on_this_machine_it_answers_within_five_seconds_and_without_torch(tmp_path: Path) -> None:
    code = (
        "import argparse, sys; from persona_exp.cli.commands import doctor; nouns = argparse.ArgumentParser(); "
        "doctor.add_commands(verbs := nouns.add_subparsers()); parsed = nouns.parse_args(['doctor', '--json', sys.argv[1]]); "
        "parsed.run(parsed); assert 'torch' not in sys.modules"
    )
    before = os.times()
    subprocess.run([sys.executable, "-c", code, f"runs={tmp_path}"], check=True, timeout=300)
    after = os.times()
    # Of the processor, and three times the 5 s that are promised: machines differ, and tests share their cores.
    assert after.children_user + after.children_system - before.children_user - before.children_system < 15
