"""Each benchmark starts, is listed in the README, and follows its stated rules. Nothing is measured here."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8"))


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


def test_each_script_is_listed():
    listed = (FOLDER / "README.md").read_text("utf-8")
    assert [name for name in SCRIPTS if f"| `{name}` |" not in listed] == []


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "fuzz_checkpoint.py"])
def test_each_script_starts(name):
    done = subprocess.run([sys.executable, str(FOLDER / name), "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"--quick", "--save"} <= set(done.stdout.replace("]", " ").replace("[", " ").split())


def test_the_fuzzer_finds_nothing():
    pytest.importorskip("atheris")
    command = [sys.executable, str(FOLDER / "fuzz_checkpoint.py"), "-runs=300"]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_mutations_fit_the_sources():
    from mutation import problems
    from mutation_list import MUTATIONS

    assert len(MUTATIONS) >= 100
    assert [found for mutation in MUTATIONS for found in problems(mutation)] == []


def test_mutations_that_do_not_fit_are_found(tmp_path):
    from mutation import problems
    from mutation_list import Mutation

    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_one():\n    pass\n")
    (tmp_path / "rnn_cli").mkdir()
    (tmp_path / "rnn_cli" / "a.py").write_text("x = 1\ny = 1\n")
    for file, old, new, tests, problem in (
        ("a.py", "x = 1", "x = 2", "test_a.py test_a.py::test_one", ""),
        ("a.py", "= 1", "= 2", "test_a.py", "occurs 2 times"),
        ("a.py", "z", "x", "test_a.py", "occurs 0 times"),
        ("b.py", "x", "y", "test_a.py", "occurs 0 times"),
        ("a.py", "x = 1", "x = ", "test_a.py", "invalid"),
        ("a.py", "x = 1", "x = 2", "test_b.py", "no test_b.py"),
        ("a.py", "x = 1", "x = 2", "test_a.py::test_two", "no test test_two"),
    ):
        found = problems(Mutation(file, old, new, tests), tmp_path)
        assert len(found) == bool(problem)
        assert all(problem in each for each in found)


def test_share_leaves_out_mutations_that_change_nothing():
    from mutation import summary
    from mutation_list import Mutation

    changing, same = Mutation("a/b.py", "x|y", "z", ""), Mutation("c.py", "x", "y", "", "as y is x")
    text = "\n".join(summary([(changing, "caught"), (changing, "lived"), (same, "lived")]))
    assert text.startswith("1 of 2 mutations that change something are caught (50.0%). Tried: 3 of ")
    assert "x\\|y" in text
    assert "as y is x" in text
    assert "a test noticed" not in text
    assert "a test noticed" in summary([(same, "caught")])[-1]


def test_development_never_sees_the_published_text():
    from runs import Split, development

    play = Split("tinyshakespeare", "abcdefghi" * 100, "z" * 100)
    inner = development(play)
    assert inner.train + inner.held_out == play.train
    assert len(inner.held_out) * 9 == len(play.train)
    lines = Split("names", "".join(f"{number}\n" for number in range(90)), "z\n")
    inner = development(lines)
    assert sorted((inner.train + inner.held_out).split()) == sorted(lines.train.split())
    assert (len(inner.held_out.split()), inner.held_out.split()[:2]) == (10, ["0", "9"])


def test_published_splits(tmp_path):
    from runs import TRAINED_CHARACTERS, names, shakespeare

    path = tmp_path / "text.txt"
    path.write_bytes(b"x" * TRAINED_CHARACTERS + b"\r\nend")
    assert shakespeare(path).held_out == "\r\nend"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(20)))
    assert (names(path).held_out, names(path).train.count("\n")) == ("0\n10\n", 18)


def test_recipes_are_read_line_by_line():
    from recipes import CHANGES, read_recipes

    assert next(iter(read_recipes(CHANGES).items())) == ("as chosen", [])
    assert read_recipes("# a comment\n\na: --x 1\nb: --y 'two words'\nc:\n") == {
        "a": ["--x", "1"],
        "b": ["--y", "two words"],
        "c": [],
    }


def test_made_pairs_are_right_and_differ():
    from tasks_translate import DATES, SUMS, TESTED, dates, sums

    for pairs, count in ((sums(), SUMS), (dates(), DATES)):
        assert len(dict(pairs)) == len(pairs) == count + TESTED
    for source, target in sums()[::1000]:
        first, second = map(int, source.split("+"))
        assert first + second == int(target)
    written = dict(dates())
    for source, target in written.items():
        assert target[-1] in source  # of the day
        assert target[2:4] in source  # of the year


def test_a_run_that_is_done_is_not_run_again(tmp_path):
    from tasks_translate import State

    calls = []
    for _ in range(2):
        state = State(tmp_path / "state")
        assert state.result("a", lambda: calls.append("a") or {"right": 3}) == {"right": 3}
    assert calls == ["a"]


@pytest.mark.parametrize(
    "cost, seeds, words", [(0.0, 3, "Within noise: over 9 pairs"), (0.03, 3, "Not within"), (0.0, 2, "Within noise")]
)
def test_verdict_on_precision(cost, seeds, words):
    from precision import Group, verdict

    losses = [1.50, 1.51, 1.52][:seeds]
    groups = [Group("text", cell, losses, [loss + cost for loss in losses]) for cell in ("lstm", "gru", "rnn")]
    assert verdict(groups).startswith(words)


def test_scattered_pairs_are_not_within_noise():
    from precision import Group, verdict

    assert verdict([Group("text", "lstm", [1.50, 1.51, 1.52], [1.55, 1.46, 1.52])]).startswith("Not within")


def test_chart_shows_curves_and_levels():
    from charts import line_chart

    curves = {"a & b": [(1.0, 3.0), (2.0, 2.0), (4.0, 1.0)], "c": [(4.0, 1.5)]}
    picture = ElementTree.fromstring(line_chart(curves, {"level": 1.2, "too high": 9.0}, "x", "y", 2.4))
    lines = [item.attrib["points"].split() for item in picture.iter() if item.tag.endswith("polyline")]
    assert [len(points) for points in lines] == [2, 1, 2]
    heights = [float(point.partition(",")[2]) for point in lines[0]]
    assert heights[0] < heights[1], "a smaller loss is drawn lower"
    texts = [item.text for item in picture.iter() if item.tag.endswith("text")]
    assert {"a & b", "c", "level"} <= set(texts)
    assert "too high" not in texts


def test_pytorch_setting_is_parsed():
    pytest.importorskip("torch")
    from torch_model import SCHEDULES, Setting

    assert Setting.parse("") == Setting()
    assert Setting.parse("hidden=8,rate=0.01,schedule=linear") == Setting(hidden=8, rate=0.01, schedule="linear")
    with pytest.raises(ValueError, match="speed is not one of hidden"):
        Setting.parse("speed=1")
    with pytest.raises(ValueError, match="schedule wild"):
        Setting.parse("schedule=wild")
    for share in SCHEDULES.values():
        assert (share(0.0), round(share(1.0), 12)) == (1, 0)
        assert share(0.25) > share(0.5) > share(0.75)


def test_pytorch_learns():
    torch = pytest.importorskip("torch")
    from torch_model import Run, Setting, score

    ids = np.tile(np.arange(1, 9), 500)
    small = Setting(hidden=16, batch=4, window=16, warm_up=0.0)
    run = Run(ids, 9, small, seconds=1e6, seed=1)
    held_out = torch.from_numpy(ids[:200])
    before = score(run.network, held_out, 4)
    for _ in range(100):  # more than an epoch
        run.step()
    assert score(run.network, held_out, 4) < before / 2
    curve, nats = Run(ids, 9, small, seconds=0.01, seed=1).train(ids[:200], validations=2)
    assert [seconds >= due for (seconds, _), due in zip(curve, (0.005, 0.01))] == [True, True]
    assert abs(nats - min(loss for _, loss in curve)) < 0.1


def test_driver_that_cannot_be_built_is_explained(tmp_path, monkeypatch):
    from onednn_step import NotBuiltError, build

    monkeypatch.setenv("CXX", "false")
    with pytest.raises(NotBuiltError, match=r"does not compile: .*\.$"):
        build(tmp_path)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotBuiltError, match=r"no C\+\+ compiler"):
        build(tmp_path)


def test_onednn_makes_the_same_steps(tmp_path):
    from onednn_step import NotBuiltError, build, version
    from training_speed import PRECISIONS, Size, check_onednn

    try:
        driver = build(tmp_path)
    except NotBuiltError:
        pytest.skip("no oneDNN for C++")
    assert version(driver).count(".") == 2
    for precision in PRECISIONS:
        row = check_onednn(driver, Size(24, 2, 6, 5), 1, precision, tmp_path)
        assert row[:3] == ["lstm 24,2,6,5", precision, "1"]


def test_other_losses_than_ours_stop_the_benchmark():
    from onednn_step import check

    steps = [(4.0, 1.0), (3.9, 1.0), (3.8, 1.0), (3.7, 1.0)]

    def replay(steps):
        return iter(steps).__next__

    assert max(check(replay(steps), replay(steps), "float32")) == 0
    for index, other in ((0, (4.001, 1.0)), (3, (3.701, 1.0)), (0, (4.0, 1.01)), (2, (float("nan"), 1.0))):
        wrong = [*steps[:index], other, *steps[index + 1 :]]
        with pytest.raises(RuntimeError, match="different work"):
            check(replay(wrong), replay(steps), "float32")


def test_child_measures_its_calls():
    from common import Child, alternate

    serve = "import sys\nfor line in sys.stdin: print(1.5, 2.5, 3, 5, 7, flush=True)"
    with Child([sys.executable, "-c", serve], {}) as child:
        assert child() == (1.5, 2.5)
        assert alternate({"child": child}, 0.02) == {"child": 5}
    with Child([sys.executable, "-c", "raise SystemExit(3)"], {}) as child, pytest.raises(RuntimeError, match="code 3"):
        child()


def test_tuned_pytorch_makes_the_same_step(tmp_path):
    pytest.importorskip("torch")
    from torch_step import Problem, torch_step, tuned_torch
    from training_speed import Size, build_window, problem_of

    problem = problem_of(build_window("gru", Size(8, 2, 3, 5), 1, "float32"))
    problem.save(tmp_path / "a.npz")
    assert Problem.load(tmp_path / "a.npz").cell == "gru"
    expected = torch_step(problem, 1, False)()
    assert torch_step(problem.widened(66), 1, False)() == pytest.approx(expected, rel=1e-5)
    with tuned_torch(problem, 1, True, tmp_path / "b.npz") as child:
        assert child() == pytest.approx(expected, rel=1e-2)
    assert Problem.load(tmp_path / "b.npz").tensors["rnn.weight_ih_l0"].shape == (24, 66)


def test_tasks_take_the_steps_of_pytorch():
    pytest.importorskip("torch")
    from task_speed import bidirectional, measure_tasks, words

    for made in (bidirectional(8, 1), words(30, 1, 8)):
        ((name, precision, *speeds),) = measure_tasks("a row", made, ["float32"], 0.01, torch=True)
        assert (name, precision, len(speeds)) == ("a row", "float32", 4)


def test_bytes_of_a_step():
    from roofline import Limits, Traffic, limit_cells, traffic
    from training_speed import Model, NetworkConfig, Team, TrainingWindow

    config = NetworkConfig.for_symbols(15, cell="lstm", hidden_size=16, num_layers=1)
    window = TrainingWindow(Model.initialised(config, np.random.default_rng(0)), 2, 3, Team(1))
    gates, states, output, logits = 2 * 3 * 64 * 4, 2 * 3 * 3 * 16 * 4, 2 * 3 * 16 * 4, 2 * 3 * 16 * 4
    weights, parameters = 16 * 64 + 16 * 16, 15 * 64 + 16 * 64 + 64 + 16 * 16 + 16
    found = traffic(window)
    assert found.held == gates + states + 2 * output + logits
    assert found.window == 4 * gates + 2.5 * states + 5 * output + 2 * logits
    assert found.layer == 16 * 64 * 4
    assert found.weights == 4 * (10 * weights + 8 * parameters)
    for limits, nearest in ((Limits(1, 0.6, 50, 25, 25), "products"), (Limits(1, 0.3, 50, 25, 25), "window")):
        assert limit_cells(Traffic(1, 10, 1, 5), limits)[-1] == nearest
    assert limit_cells(Traffic(1, 10, 1, 5), Limits(1, 0.3, 50, 25, 6))[-1] == "weights"


def test_triad_and_reading_touch_all_they_count():
    from roofline import triad_call, weights_call
    from training_speed import Team

    moved, call = triad_call(Team(2), 1 << 20)
    a, b, c, repeats = call.args[1:]
    call()
    assert moved == repeats * (a.nbytes + b.nbytes + c.nbytes) >= 20_000_000
    assert (c == 1.5).all()
    moved, call = weights_call(Team(2), 1000)
    array, repeats, sums = call.args[1:]
    call()
    assert moved == 2 * repeats * array.nbytes
    assert sums[0] == sums[1] > 0


def test_runtime_symbols_and_losses():
    from runtimes import choose, losses

    shares = np.array([0.5, 0.0, 0.2, 0.3])
    with np.errstate(divide="ignore"):
        logits = np.tile(np.log(shares) + 7, (10_000, 1)).astype(np.float32)
    found = np.bincount(choose(logits, np.random.default_rng(0)), minlength=4) / 10_000
    assert np.abs(found - shares).max() < 0.02
    assert found[1] == 0
    assert losses(logits[:2], np.array([0, 3])) == pytest.approx(-np.log([0.5, 0.3]), rel=1e-5)


def test_runtime_scores_lines_as_we_do():
    from runtimes import check_steps, line_scorer, onnx_runtime
    from scoring_speed import LETTERS, Scorer, build_checkpoint

    checkpoint = build_checkpoint(8, 2)
    runtime = onnx_runtime(checkpoint, 1, "float32", -1, -1)
    check_steps(runtime, checkpoint, 2, "float32")
    lines = [LETTERS[:5], LETTERS[7:8], LETTERS[3:30]]
    encoded = [checkpoint.codec.encode(line) for line in lines]
    symbols = np.concatenate([np.append(line, 0) for line in encoded]).astype(np.int32)
    bits = Scorer(checkpoint, 1).read(symbols)[0].sum() / np.log(2)
    assert line_scorer(runtime, encoded, 2)() == pytest.approx(bits, rel=1e-5)
    with pytest.raises(RuntimeError, match="differ"):
        check_steps(onnx_runtime(build_checkpoint(9, 2), 1, "float32", -1, -1), checkpoint, 2, "float32")
