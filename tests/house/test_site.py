"""The site of docs/: it builds, a broken link stops it, it asks no other host for anything; `make help` and CITATION.cff are whole."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SITE = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
# What a browser fetches by itself: not the links that a reader follows.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*?\bsrc=["']?(?:https?:)?//[^\s"'>]+|"""
    r"""<link\b(?![^>]*rel=["']?canonical)[^>]*?\bhref=["']?(?:https?:)?//[^\s"'>]+|"""
    r"""url\(["']?(?:https?:)?//[^)]+|@import\s+["'](?:https?:)?//[^"']+"""
)


def build(folder):
    for name in ("zensical.toml", "docs"):
        if not (folder / name).exists():
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def pages(entry):
    if isinstance(entry, str):
        return [entry]
    return [page for one in (entry if isinstance(entry, list) else entry.values()) for page in pages(one)]


@pytest.mark.long
def test_the_site_builds_and_asks_no_other_host_for_anything(tmp_path):
    done = build(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    site = tmp_path / "build" / "site"
    assert {path.relative_to(site).as_posix() for path in site.rglob("*.html")} == {
        "404.html",
        *(page.replace(".md", ".html") for page in pages(SITE["nav"])),
    }
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert not {found for path in files for found in FETCHED.findall(path.read_text(encoding="utf-8"))}
    # Inside <pre> nothing of a table or list is left as Markdown.
    assert not [path for path in site.rglob("*.html") if "<p>|" in path.read_text(encoding="utf-8")]


@pytest.mark.long
@pytest.mark.parametrize("link", ["[x](no_such_page.md)", "[x](glossary.md#no-such-heading)"])
def test_a_broken_link_stops_the_build(tmp_path, link):
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    page = tmp_path / "docs" / "index.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\n{link}\n", encoding="utf-8")
    done = build(tmp_path)
    assert done.returncode != 0
    assert "does not exist" in done.stdout + done.stderr


def test_what_is_fetched_is_found():
    assert FETCHED.search('<link rel="stylesheet" href="https://fonts.example/x.css">')
    assert FETCHED.search("<script async src=https://cdn.example/x.js></script>")
    assert FETCHED.search("@font-face { src: url('//fonts.example/x.woff2') }")
    assert not FETCHED.search('<a href="https://example.org">')


def test_each_page_is_in_the_menu_and_each_picture_is_there():
    listed = pages(SITE["nav"])
    there = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))
    assert sorted(listed) == there
    for page in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page}: {target}"


def test_links_of_files_outside_the_site_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        text = page.read_text(encoding="utf-8")
        for target in [*re.findall(r"\]\(([^)#]+)[^)]*\)", text), *re.findall(r"(?<![\w/])docs/[\w./-]+\.\w+", text)]:
            assert target.startswith("https://") or (ROOT / target).exists(), f"{page.name}: {target}"


def test_pages_that_code_names_are_there():
    places = ("run.py", "persona_exp", "analysis", "hydra_plugins", "benchmarks", "conf", "sweeps", "slurm")
    files = [path for place in places for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*"))]
    for path in files:
        if path.suffix in (".py", ".yaml", ".sh", ".sbatch", ".md", ".jinja"):
            for page in re.findall(r"(?<![\w/.])docs/[\w./-]+\.md", path.read_text(encoding="utf-8")):
                assert (ROOT / page).is_file(), f"{path.relative_to(ROOT)}: {page}"


def test_make_help_says_what_each_target_does():
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert targets == set(phony.split()) - {"FORCE"}
    # Itself run by make, as CI does, make would say which folder it enters.
    command = ["make", "--no-print-directory", "help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    said = dict(re.findall(r"^make (\S+) +([A-Z].*\.)$", shown, re.MULTILINE))
    assert said.keys() == targets
    assert len(shown.splitlines()) == len(targets)


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    # What the format 1.2.0 asks for, and what is said elsewhere too.
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["type"] == "software"
    assert citation["title"].startswith(PROJECT["name"])
    assert (str(citation["version"]), citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["authors"]
    for author in citation["authors"]:
        assert author.keys() <= {"name", "family-names", "given-names", "orcid", "affiliation", "website", "email"}
    optional = {"abstract", "keywords", "repository-code", "url", "doi", "date-released"}
    known = {"cff-version", "message", "title", "type", "authors", "version", "license"} | optional
    assert citation.keys() <= known
