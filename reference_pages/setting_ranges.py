"""The range of each setting, read off the checks in its dataclass's __post_init__."""

import ast
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from persona_exp.config import range_checks

CHECKS = {name for name, _ in inspect.getmembers(range_checks, inspect.isfunction)}


def setting_ranges(group: type) -> dict[str, str]:
    """Return the range in words of each setting that `group`, a dataclass of the schema, checks; keys are whole, as in train.epochs."""
    module = sys.modules[group.__module__]
    found: dict[str, str] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef) and node.name == group.__name__:
            for function in node.body:
                if isinstance(function, ast.FunctionDef):
                    _read(function.body, {**vars(module)}, found)
    return found


def _read(body: list[ast.stmt], names: Mapping[str, Any], found: dict[str, str]) -> None:
    for statement in body:
        if isinstance(statement, ast.For):
            for value in _values(statement, names):
                _read(statement.body, {**names, **value}, found)
            continue
        if isinstance(statement, ast.If):
            _read([*statement.body, *statement.orelse], names, found)
            continue
        for call in ast.walk(statement):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in CHECKS:
                found[_key(call.args[0], names)] = _range(call, names)


def _values(loop: ast.For, names: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the loop's variable stands for, in turn; once nothing where that is known only when a config is."""
    if isinstance(loop.target, ast.Name) and isinstance(loop.iter, ast.Tuple | ast.Name):
        return [{loop.target.id: value} for value in _value(loop.iter, names)]
    return [{}]


def _key(node: ast.expr, names: Mapping[str, Any]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.JoinedStr)
    key = ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            key += str(part.value)
        elif isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name) and part.value.id in names:
            key += str(names[part.value.id])
    return key.rstrip(".")


def _range(call: ast.Call, names: Mapping[str, Any]) -> str:
    assert isinstance(call.func, ast.Name)
    group = _key(call.args[0], names).rpartition(".")[0]
    limits = [_limit(node, names, group) for node in call.args[2:]]
    if call.func.id == "positive":
        return "above 0"
    if call.func.id == "at_least":
        return f"at least {limits[0]}"
    if call.func.id == "between":
        return f"{limits[0]} to {limits[1]}"
    return "true, false, auto" if call.func.id == "yes_no_auto" else limits[0]


def _limit(node: ast.expr, names: Mapping[str, Any], group: str) -> str:
    """Return a limit as a person writes it; of one that depends on another setting, that setting's name."""
    if any(isinstance(part, ast.Attribute) for part in ast.walk(node)):
        return ast.unparse(node).replace("self.", f"{group}.").replace("*", "×").replace("-", "−")
    value = _value(node, names)
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else f"{value:,}" if isinstance(value, int) else str(value)


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "<schema>", "eval"), dict(names))
