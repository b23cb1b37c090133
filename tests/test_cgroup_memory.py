"""How much memory there is, as Linux says it of a machine and of control groups."""

import sys

from persona_exp.cgroup_memory import free_bytes


def free(tmp_path):
    return free_bytes(tmp_path / "groups", tmp_path / "mount", tmp_path / "meminfo")


def test_a_limit_around_the_group_counts_less_what_is_used_but_for_the_file_cache(tmp_path):
    (tmp_path / "groups").write_text("0::/slurm/job_7/step_0\n")
    job, step = tmp_path / "mount/slurm/job_7", tmp_path / "mount/slurm/job_7/step_0"
    step.mkdir(parents=True)
    for folder, limit, used in ((job, "1000", "700"), (step, "max", "600")):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text("anon 500\nfile 90\ninactive_file 50\nactive_file 40\n")
    assert free(tmp_path) == 1000 - 700 + 90
    (step / "memory.max").write_text("650\n")
    assert free(tmp_path) == 650 - 600 + 90
    (step / "memory.current").write_text("800\n")
    assert free(tmp_path) == 0


def test_so_it_does_in_version_1(tmp_path):
    (tmp_path / "groups").write_text("5:cpuset:/x\n4:cpu,memory:/slurm/uid_0\n0::/\n")
    folder = tmp_path / "mount/memory/slurm/uid_0"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("5000\n")
    (folder / "memory.usage_in_bytes").write_text("3000\n")
    (folder / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 400\ntotal_active_file 300\n")
    assert free(tmp_path) == 2700


def test_without_a_word_from_the_system_there_is_no_limit(tmp_path):
    assert free(tmp_path) == sys.maxsize
    (tmp_path / "groups").write_text("0::/\n")
    assert free(tmp_path) == sys.maxsize
    (tmp_path / "meminfo").write_text("MemTotal:       100 kB\nMemAvailable:       7 kB\nHugePages_Total:       0\n")
    assert free(tmp_path) == 7 * 1024
