import json

import pytest

from recbole_dmf.experiments.plan import Column
from recbole_dmf.experiments.planned_runs import PlannedRun
from recbole_dmf.experiments.progress import dry_run, duration, estimate, time_left
from recbole_dmf.run_folder import write_settings


def planned(folder, label, seed, seconds=None, **settings):
    run = PlannedRun(Column(label, "BPR", {}), seed, {}, {"k": 1}, folder / f"{label}-seed{seed}")
    if seconds is not None:
        run.folder.mkdir(parents=True)
        write_settings(run.folder, {"k": 1, **settings})
        content = {"metrics": {}, "seconds": {"total": seconds}}
        (run.folder / "result.json").write_text(json.dumps(content))
    return run


def test_estimates_are_of_the_same_model_else_of_all(tmp_path):
    runs = [planned(tmp_path, "A", 1, 10.0), planned(tmp_path, "B", 1, 40.0)]
    runs += [planned(tmp_path, "A", 2), planned(tmp_path, "C", 1)]
    assert estimate(runs, runs[2]) == 10.0
    assert estimate(runs, runs[3]) == 25.0
    assert time_left(runs, runs) == "; about 35.0 s left"
    assert time_left(runs, runs[:2]) == ""
    assert time_left(runs, runs, jobs=2) == "; about 17.5 s left"
    assert estimate(runs[2:], runs[3]) is None


def test_dry_run_says_what_is_finished_and_what_would_run(tmp_path):
    runs = [planned(tmp_path, "A", 1, 10.0), planned(tmp_path, "A", 2, 12.0, k=2)]
    runs += [planned(tmp_path, "A", 3), planned(tmp_path, "B", 1), planned(tmp_path, "B", 2)]
    runs[2].unfinished.mkdir()
    runs[3].failed.mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert dry_run(runs).splitlines() == [
        "[1/5] A, seed 1: finished in 10.0 s",
        "[2/5] A, seed 2: would run again: k was 2, is 1; about 11.0 s",
        "[3/5] A, seed 3: would continue; about 11.0 s",
        "[4/5] B, seed 1: failed, would be tried again; about 11.0 s",
        "[5/5] B, seed 2: would run; about 11.0 s",
        "4 of 5 runs to make, about 44.0 s in all.",
    ]
    assert "5 of 5 runs to make" in dry_run(runs, fresh=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert dry_run(runs[4:]).splitlines()[-1] == "1 of 1 runs to make."


def test_runs_with_the_options_of_another_table_take_no_time(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    of_one = [planned(one, "A", 1, 10.0), planned(one, "B", 1)]
    of_two = [planned(two, "C", 1)]
    assert time_left([*of_one, *of_two], [*of_one, *of_two]) == "; about 10.0 s left"  # B alone
    line = f"[1/1] C, seed 1: would be copied from {one / 'A-seed1'}, which has its options"
    assert dry_run(of_two, known=[*of_one, *of_two]).splitlines()[0] == line
    none_finished = [planned(one, "D", 1), *of_two]
    assert "0 of 1 runs" in dry_run(of_two, known=none_finished)
    assert "0 of 1 runs" in dry_run(of_two, fresh=True, known=none_finished)
    assert "1 of 1 runs" in dry_run(of_two, known=none_finished[::-1])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.21, "3.2 s"), (125, "2 min 5 s"), (3540, "59 min"), (9000, "2 h 30 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
