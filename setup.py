"""What pyproject.toml cannot say: conf/, sweeps/ and slurm/ are installed inside the package (persona_exp/project_folders.py)."""

from setuptools import find_namespace_packages, setup

PACKAGES = find_namespace_packages(include=["persona_exp*", "analysis*", "hydra_plugins*"])
# By the name of the package that each becomes.
FOLDERS = {f"persona_exp.{name}": name for name in ("conf", "sweeps", "slurm")}
TEXTS = ("json", "txt", "csv", "tsv", "jsonl", "md", "jinja", "yaml")

setup(
    packages=[*PACKAGES, *FOLDERS],
    package_dir=FOLDERS,
    package_data={"persona_exp": [f"**/*.{ending}" for ending in TEXTS], **{package: ["**/*"] for package in FOLDERS}},
)
