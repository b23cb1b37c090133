"""Hydra's private API stands in one module; what of it breaks on an upgrade is named here, with what it is used for."""

import ast
import inspect
from importlib.metadata import version

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import IntegerNode, OmegaConf
from omegaconf.errors import ValidationError

from persona_exp.search import hydra_internals
from tests.conftest import ROOT

FOLDERS = ("persona_exp", "hydra_plugins", "analysis", "tests", "benchmarks")


def test_hydra_is_the_version_that_this_was_written_for():
    assert version("hydra-core").startswith("1.3."), "Another Hydra: read persona_exp/search/hydra_internals.py against its source."
    assert version("omegaconf").startswith("2.3."), "Another OmegaConf: read persona_exp/search/hydra_internals.py against its source."


def test_the_signature_is_the_one_that_is_called():
    applying = inspect.signature(ConfigLoaderImpl._apply_overrides_to_config)
    assert list(applying.parameters) == ["overrides", "cfg"], "apply_overrides: swept values are set by it on what was composed once."


def test_overrides_are_applied_as_while_composing():
    config = OmegaConf.create({"a": {"b": 1}, "c": 2})
    parse = OverridesParser.create().parse_overrides
    hydra_internals.apply_overrides(parse(["a.b=3", "+d=4", "~c"]), config)
    assert config == {"a": {"b": 3}, "d": 4}, "apply_overrides: a sweep's points are made by it."


def test_nodes_are_read_without_resolving_them():
    config = OmegaConf.create({"a": "${b}", "b": 1})
    assert hydra_internals.unresolved_node(config, "a")._is_interpolation(), "unresolved_node: what refers to another value is kept apart."
    assert hydra_internals.unresolved_node(config, "c") is None
    assert hydra_internals.node_value(IntegerNode("7")) == 7, "node_value: seeds of a sweep are converted by it."
    with pytest.raises(ValidationError):
        IntegerNode("seven", is_optional=False)


def test_private_names_of_hydra_are_used_nowhere_else():
    allowed = {ROOT / "persona_exp/search/hydra_internals.py", ROOT / "tests/search/test_hydra_internals.py"}
    private = ("_get_node", "_apply_overrides_to_config")
    found = {
        path.relative_to(ROOT).as_posix()
        for path in [ROOT / "run.py", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
        if path not in allowed
        # Of most files the text already says that nothing is there to be found.
        if any(name in (text := path.read_text(encoding="utf-8")) for name in ("hydra._", *private))
        for node in ast.walk(ast.parse(text))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hydra._"))
        or (isinstance(node, ast.Import) and any(one.name.startswith("hydra._") for one in node.names))
        or (isinstance(node, ast.Attribute) and node.attr in private)
    }
    assert found == set()
