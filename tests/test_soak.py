"""The short form of the hour of faults in benchmarks/reliability.py."""

import re
import subprocess
import sys
from pathlib import Path

from commands import ENVIRONMENT

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "reliability.py"


def test_a_short_soak_loses_nothing():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick"], env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = {name: int(number) for name, number in re.findall(r"^\| (.+?) +\| +(\d+) \|$", done.stdout, re.MULTILINE)}
    assert numbers["losses"] == 0
    assert numbers["trainings compared with one that was never stopped"] == 1
    assert numbers["calls of a save that failed or killed"] > 50
    assert 0 < numbers["of these refused"] < numbers["mutated files loaded"] == 300
