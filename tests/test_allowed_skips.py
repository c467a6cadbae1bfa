"""The list of skips that `.ci/run` accepts: the reasons that tests give, and none for a missing package."""

import ast
import re
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def reasons_of(path):
    """Return the reasons for which tests of a file are skipped; `importorskip` has none."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    reasons = []
    for call in calls:
        name = ast.unparse(call.func)
        if name == "pytest.skip":
            reasons.append(ast.literal_eval(call.args[0]))
        elif name == "pytest.mark.skipif":
            reasons += [ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg == "reason"]
    return reasons


def test_the_list_holds_the_reasons_of_all_tests():
    lines = (TESTS / "allowed_skips.txt").read_text("utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    given = {reason for path in TESTS.rglob("test_*.py") for reason in reasons_of(path)}
    assert sorted(listed) == sorted(given)
    assert not [reason for reason in listed if "import" in reason]


def test_optional_packages_of_tests_are_installed_in_ci():
    """Otherwise these tests would never run."""
    sources = "".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    wanted = set(re.findall(r'importorskip\("([a-z0-9]+)', sources)) - sys.stdlib_module_names
    steps = (TESTS.parent / ".ci" / "run").read_text("utf-8")
    assert {name for name in wanted if f"'{name}==" not in steps} == set()
