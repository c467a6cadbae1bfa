"""How many processors this process may use: those it may run on, and those that a CPU quota is worth."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

FILE_SYSTEM = Path("/")


def processor_numbers() -> list[int]:
    """Return the processors that this process may run on, by their numbers."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def available_processors() -> int:
    """Return how many processors this process may run on."""
    return len(processor_numbers())


def cpu_quota(root: Path = FILE_SYSTEM) -> float | None:
    """Return how many processors' time the control groups of this process allow (versions 1 and 2), None if unlimited.

    A limit of a parent group holds too, so the smallest on the way to the root counts. `root` is "/" but in tests.
    """
    limits = []
    for directory in group_directories(root):
        with suppress(OSError, ValueError):
            quota, period = (directory / "cpu.max").read_text().split()  # version 2: "max 100000", "150000 100000"
            limits.append(math.inf if quota == "max" else int(quota) / int(period))
        with suppress(OSError, ValueError):
            quota_us = int((directory / "cpu.cfs_quota_us").read_text())  # version 1: -1 is unlimited
            limits.append(quota_us / int((directory / "cpu.cfs_period_us").read_text()) if quota_us > 0 else math.inf)
    smallest = min(limits, default=math.inf)
    return None if math.isinf(smallest) or smallest <= 0 else smallest


def group_directories(root: Path) -> Iterator[Path]:
    """Yield the directories of this process's CPU control groups and of their parents.

    In a container the path of the group may be the host's, of which only the mount point itself is visible.
    """
    mounts = dict(mount_points(root))
    for line in lines_of(root / "proc/self/cgroup"):  # "0::/user/one", "4:cpu,cpuacct:/docker/1234"
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        mount = mounts.get("cpu" if "cpu" in controllers.split(",") else controllers)
        if mount is None:
            continue
        group = PurePosixPath("/" + path.strip("/"))
        for parent in (group, *group.parents):
            if ".." not in parent.parts:
                yield mount / str(parent).lstrip("/")


def mount_points(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield "" and the mount point of control groups of version 2, and "cpu" and that of the CPU's in version 1."""
    for line in lines_of(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, (kind, *options) = before.split(), after.split() or [""]
        if kind == "cgroup2":
            yield "", root / fields[4].lstrip("/")
        elif kind == "cgroup" and "cpu" in options[-1].split(","):
            yield "cpu", root / fields[4].lstrip("/")


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file of the system, none if it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def usable_cores() -> int:
    """Return how many threads are worth starting: no more than processors, nor than the CPU quota allows."""
    quota = cpu_quota()
    processors = available_processors()
    return processors if quota is None else max(1, min(processors, math.floor(quota + 0.01)))
