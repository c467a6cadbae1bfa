"""The processors that a process may use: affinity, and the CPU quota of control groups of versions 1 and 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnn_cli import cpu_count

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "33 32 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
    "34 32 0:29 / /sys/fs/cgroup/cpuset rw shared:11 - cgroup cgroup rw,cpuset\n"
)


def system(root: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    """Write the files of a system as /proc and the control groups show it."""
    everything = {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts}
    everything |= {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in everything.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "groups, mounts, files, quota",
    [
        ("0::/\n", V2, {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", V2, {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", V2, {"cpu.max": "nonsense\n"}, None),
        ("0::/a/b\n", V2, {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "200000 100000\n"}, 2.0),
        ("0::/a/b\n", V2, {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "max 100000\n"}, 0.5),
        ("0::/host/only\n", V2, {"cpu.max": "300000 100000\n"}, 3.0),
        ("0::/../x\n", V2, {"cpu.max": "300000 100000\n"}, 3.0),
        (
            "5:cpu,cpuacct:/docker/12\n3:cpuset:/docker/12\n",
            V1,
            {"cpu,cpuacct/docker/12/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/docker/12/cpu.cfs_period_us": "100000"},
            2.5,
        ),
        (
            "5:cpu,cpuacct:/docker/12\n",
            V1,
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "50000"},
            1.0,
        ),
        (
            "5:cpu,cpuacct:/\n0::/\n",
            V1 + V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            None,
        ),
        ("", "", {}, None),
        ("garbage\n", "garbage\n", {}, None),
    ],
)
def test_the_smallest_quota_counts(
    tmp_path: Path, groups: str, mounts: str, files: dict[str, str], quota: float | None
) -> None:
    assert cpu_count.cpu_quota(system(tmp_path, groups, mounts, files)) == quota


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_count.cpu_quota(tmp_path) is None


@pytest.mark.parametrize(
    "processors, quota, cores", [(8, None, 8), (8, 2.0, 2), (8, 2.9, 2), (8, 0.5, 1), (2, 16.0, 2), (1, None, 1)]
)
def test_no_more_threads_than_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch, processors: int, quota: float | None, cores: int
) -> None:
    monkeypatch.setattr(cpu_count, "available_processors", lambda: processors)
    monkeypatch.setattr(cpu_count, "cpu_quota", lambda: quota)
    assert cpu_count.usable_cores() == cores


def test_this_machine_has_at_least_one_core() -> None:
    assert 1 <= cpu_count.usable_cores() <= cpu_count.available_processors()
