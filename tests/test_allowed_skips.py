"""The list of skips that `.ci/run` accepts holds reasons of tests, and none for a missing package."""

import re
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LINES = (TESTS / "allowed_skips.txt").read_text("utf-8").splitlines()
REASONS = [line for line in LINES if line and not line.startswith("#")]
SOURCES = "".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))


@pytest.mark.parametrize("reason", REASONS)
def test_reason_is_that_of_a_test(reason):
    assert f'"{reason}"' in SOURCES


def test_missing_packages_are_not_on_the_list():
    assert not [reason for reason in REASONS if "import" in reason]


def test_optional_packages_of_tests_are_installed_in_ci():
    """Otherwise these tests would never run."""
    wanted = set(re.findall(r'importorskip\("([a-z0-9]+)', SOURCES)) - sys.stdlib_module_names
    steps = (TESTS.parent / ".ci" / "run").read_text("utf-8")
    assert {name for name in wanted if f"'{name}==" not in steps} == set()
