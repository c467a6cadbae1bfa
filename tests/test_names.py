"""Test names say the behaviour, briefly."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(TESTS.rglob("test_*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_names_are_under_60_characters_and_unique(path):
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    names = [node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    assert [name for name in names if len(name) >= 60 or names.count(name) > 1] == []
