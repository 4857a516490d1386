"""The benchmark of several runs at a time, in small."""

from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPTS = Path(__file__).parents[1] / "run_scripts"


@pytest.mark.slow
def test_a_comparison_is_timed_both_ways(tiny, tmp_path, monkeypatch, capsys):
    pytest.importorskip("distributed", reason="--jobs needs the extra `dask`")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from benchmarks import jobs

    monkeypatch.setattr(jobs, "MODELS", ("ItemPop", "NeuMF-p"))
    monkeypatch.setattr(jobs, "SEEDS", (1,))
    args = SimpleNamespace(
        dataset="tiny", data_path=tiny, epochs=1, jobs=2, repeats=1, scratch=tmp_path
    )
    found = jobs.jobs_table(args)
    names = ["comparison, 1 at a time", "comparison, 2 at a time", "DMF, 1 at once"]
    assert list(found["seconds"]) == [*names, "DMF, 2 at once"]
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert found["ratio"] == found["seconds"][names[1]] / found["seconds"][names[0]]
    assert set(found["seconds_of_a_run"]) == {"ItemPop", "NeuMF-p"}
    assert all(len(ways) == 2 for ways in found["seconds_of_a_run"].values())
    assert f"{found['ratio']:.2f} of the time" in capsys.readouterr().out
    for n in (1, 2):
        runs = sorted(path.name for path in (tmp_path / f"0-{n}" / "runs").iterdir())
        assert runs == ["ItemPop-seed1", "NeuMF-p-seed1"]
    assert len(list(tmp_path.glob("0-2-*/*/result.json"))) == 2
