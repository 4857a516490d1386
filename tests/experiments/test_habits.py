import itertools
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_dmf.errors import CannotResume
from recbole_dmf.evaluation.metrics import gains, tied_gain
from recbole_dmf.experiments import habit_counts
from recbole_dmf.experiments.habit_counts import (
    TargetCounts,
    Watched,
    count_test_items,
    counts_of_run,
)
from recbole_dmf.experiments.habit_page import habit_page, left_of_gap
from recbole_dmf.experiments.habits import (
    at_best,
    draw_deviation,
    expected,
    expected_best,
    habit_gains,
    levels,
    own_target,
    redrawn,
    sampled,
    validated,
    with_replacement,
)

SCRIPT = Path(__file__).parents[2] / "run_scripts" / "habits.py"


def of_epoch(
    above, tied=0, valid_ndcg=0.5, n_users=400, n_unseen=500, n_draws=6, seed=0, **changes
):
    """`above` and `tied` of the unseen items for every user, the candidates drawn by it."""
    rng = np.random.default_rng(seed)
    whole = np.zeros(n_users, np.int64)
    drawn = rng.multivariate_hypergeometric(
        [above, tied, n_unseen - above - tied], 100, (n_draws, n_users)
    )
    values = {
        "valid_ndcg": np.array(valid_ndcg),
        "n_unseen": whole + n_unseen,
        "n_train": whole + 50,
        "n_valid": whole + 1,
        "above": whole + above,
        "tied": whole + tied,
        "drawn_above": drawn[..., 0],
        "drawn_tied": drawn[..., 1],
        "train_above": whole,
        "train_tied": whole,
        "valid_above": whole,
        "valid_tied": whole,
    }
    return TargetCounts(**{**values, **changes})


def test_best_of_normal_numbers():
    assert expected_best(2) == pytest.approx(1 / np.sqrt(np.pi), rel=1e-9)
    assert expected_best(5) == pytest.approx(1.16296, abs=1e-5)


def test_figures_are_plain_means():
    epochs = [of_epoch(40, 10), of_epoch(30, 20, seed=1)]
    figures = sampled(epochs)
    assert figures.shape == (2, 6, 2)
    one = epochs[1]
    values = tied_gain(gains("ndcg", 10), one.drawn_above[3], one.drawn_tied[3])
    assert figures[1, 3, 1] == pytest.approx(values.mean())
    assert (sampled(epochs, ties_lose=True) > figures).all()
    found = redrawn(epochs, np.random.default_rng(0))
    for place, epoch in enumerate(epochs):
        np.testing.assert_allclose(found[:, :, place].mean(axis=1), expected(epoch), atol=0.02)


def test_candidates_with_replacement_count_once():
    """All draws of 100 among 4 items are the same set of 4, or nearly always."""
    one = of_epoch(1, 1, n_unseen=100, n_draws=2)
    few = TargetCounts(**{**vars(one), "n_unseen": one.n_unseen * 0 + 4})
    found = with_replacement(few, np.random.default_rng(0), 3)
    ranks = np.array([2, 3])  # one above, one level
    np.testing.assert_allclose(found[1], np.mean(1 / np.log2(ranks + 1)), rtol=1e-9)
    lost = with_replacement(few, np.random.default_rng(0), 3, ties_lose=True)
    np.testing.assert_allclose(lost[1], 1 / np.log2(3), rtol=1e-9)


def test_candidates_with_replacement_are_fewer():
    one = of_epoch(60, n_unseen=500, n_draws=2, n_users=3000)
    found = with_replacement(one, np.random.default_rng(0), 20)[0].mean()
    rng = np.random.default_rng(1)
    drawn = [len(np.unique(d[d < 60])) for d in rng.integers(0, 502, (20_000, 100))]
    assert found == pytest.approx(np.mean(np.array(drawn) < 10), abs=0.01)
    assert found > expected(one)[0]


def test_the_target_among_its_candidates():
    """3 of 5 are drawn: 3 unseen items, the validation item and the target; 2 are above it."""
    one = of_epoch(1, n_unseen=100, n_draws=2)
    few = TargetCounts(
        **{**vars(one), "n_unseen": one.n_unseen * 0 + 3, "valid_above": one.n_valid}
    )
    three_of_five = {0: 1 / 10, 1: 6 / 10, 2: 3 / 10}  # how many of the 2 above are drawn
    ndcg = sum(p / np.log2(n + 2) for n, p in three_of_five.items())
    np.testing.assert_allclose(own_target(few), [1, ndcg], rtol=1e-9)


def test_deviation_over_draws():
    epochs = [of_epoch(60, n_draws=50, n_users=100), of_epoch(60, valid_ndcg=0.4)]
    drawn = epochs[0].drawn_above < 10
    np.testing.assert_allclose(draw_deviation(epochs)[0], drawn.mean(axis=1).std(ddof=1))
    p = expected(epochs[0])[0]
    assert draw_deviation(epochs)[0] == pytest.approx(np.sqrt(p * (1 - p) / 100), rel=0.3)


@pytest.mark.parametrize(
    ("paper", "part"), [(0.58, "all"), (0.62, "perhaps all"), (0.65, "not all")]
)
def test_what_is_left_has_the_errors_of_the_gain_and_of_the_draw(paper, part):
    gain = {"mean": [0.06, 0.06], "low": [0.05, 0.05], "high": [0.07, 0.07]}
    data = {
        **{"model": "DMF", "dataset": "d", "seeds": [1, 2], "draws": 20, "best_epochs": [1, 2]},
        **{"base": [0.55, 0.55], "paper": [paper, paper], "draw_deviation": [0.01, 0.01]},
        **{"gains": {"together, best of seeds": gain}, "options": {}, "versions": {}},
        **{"commit": "", "command": ""},
    }
    left, low, high = left_of_gap(data, 0, more=0.005)
    half = np.hypot(0.01, 0.0196)
    assert (left, low, high) == pytest.approx((paper - 0.615, left - half, left + half))
    assert habit_page(data).count(f"they explain {part} of the gap.") == 2


def test_training_items_among_candidates():
    one = of_epoch(40)
    worse = TargetCounts(**{**vars(one), "train_above": one.n_train})
    assert expected(worse, with_training_items=True)[0] < expected(one)[0]
    better = expected(one, with_training_items=True)  # none of them is above the target
    assert better[0] > expected(one)[0]


def test_epochs_are_chosen_as_said():
    epochs = [
        of_epoch(60, valid_ndcg=0.5),
        of_epoch(30, valid_ndcg=0.4),
        of_epoch(50, valid_ndcg=0.6),
    ]
    assert validated(epochs) == 2
    figures = sampled(epochs)
    np.testing.assert_array_equal(at_best(figures), figures[:, :, 1])
    found = levels(epochs, 1, None)
    np.testing.assert_allclose(found["base"], figures[:, :, 2].mean(axis=1))
    np.testing.assert_allclose(found["epoch on test"], figures[:, :, 1].mean(axis=1))
    assert "valid trained on" not in found


@pytest.mark.slow
def test_choice_among_epochs_that_differ_by_chance_alone_gains():
    epochs = [of_epoch(40, seed=s, valid_ndcg=s, n_draws=20) for s in range(30)]
    found = levels(epochs, 1, None)
    base, chosen = found["base"], found["epoch on test"]
    assert chosen[1] > base[1] + 0.01
    assert found["each at its best"][0] > chosen[0]
    assert found["each at its best"][1] == pytest.approx(chosen[1])
    assert found["ties"] == pytest.approx(base)  # there are none


@pytest.mark.slow
def test_gains_and_their_sums():
    by_seed = [
        levels([of_epoch(40, seed=10 * s + e, valid_ndcg=e) for e in range(4)], s, None)
        for s in range(3)
    ]
    found = habit_gains(by_seed)
    differences = np.array([one["epoch on test"] - one["base"] for one in by_seed])
    np.testing.assert_allclose(found["epoch on test"].mean, differences.mean(axis=0))
    half = 4.302653 * differences.std(axis=0, ddof=1) / np.sqrt(3)  # Student's t, 2 degrees
    np.testing.assert_allclose(found["epoch on test"].high, differences.mean(axis=0) + half)
    spread = np.std([one["base"] for one in by_seed], axis=0, ddof=1)
    np.testing.assert_allclose(found["best of seeds"].mean, expected_best(3) * spread)
    summed = [h for h in found if h not in ("training items", "sum") and "together" not in h]
    total = sum(found[habit].mean for habit in summed)
    np.testing.assert_allclose(found["sum"].mean, total)


def test_counts_of_test_items_are_those_of_a_plain_loop(ready):
    _, prepared, _ = ready("ItemPop")
    test, data = prepared.phases["test"], prepared.train
    n_users, n_items = data.user_num, data.item_num
    rng = np.random.default_rng(4)
    score = torch.from_numpy(rng.integers(0, 9, (n_users, n_items)).astype(np.float32))
    train = data.inter_matrix("csr")
    valid = prepared.phases["valid"].candidates
    valid_item = np.zeros(n_users, np.int64)
    valid_item[valid.user] = valid.target
    draws = np.stack([test.candidates.items] * 2)
    draws[1, :, 50:] = -1
    found = count_test_items(test, draws, train, valid_item, lambda u: score[u].clone(), 0.3)
    for row, user in enumerate(test.candidates.user):
        own = score[user, test.candidates.target[row]]
        rated = train[user].indices
        assert found.train_above[row] == (score[user, rated] > own).sum()
        assert found.train_tied[row] == (score[user, rated] == own).sum()
        assert found.n_train[row] == len(rated)
        assert found.valid_above[row] == (score[user, valid_item[user]] > own)
        for draw, width in itertools.product(range(2), [50]):
            items = draws[draw, row][: width if draw else None]
            items = items[items >= 0]
            assert found.drawn_above[draw, row] == (score[user, items] > own).sum()
    assert found.n_valid.all()
    np.testing.assert_array_equal(found.n_unseen, test.n_unseen)


def test_watched_phase_counts_as_the_phase(ready):
    _, prepared, _ = ready("ItemPop")
    phase, told = prepared.phases["valid"], []
    score = torch.rand(prepared.train.user_num, phase.n_items)
    plain = phase.count(lambda user: score[user].clone())
    watched = Watched(phase, lambda scores, counts: told.append(counts))
    assert watched.count(lambda user: score[user].clone()) is told[0]
    for name, values in vars(plain).items():
        np.testing.assert_array_equal(values, getattr(told[0], name))


OPTIONS = {"train_batch_size": 512, "learning_rate": 0.01, "epochs": 3, "seed": 1}


def test_stopped_training_goes_on_with_the_same_counts(tiny, tmp_path, monkeypatch):
    options = {**OPTIONS, "data_path": str(tiny)}
    whole, _ = counts_of_run(tmp_path / "whole", "DMF", "tiny", options, True)
    calls = []

    def stop(*arguments):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return count_test_items(*arguments)

    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(habit_counts, "count_test_items", stop)
        with pytest.raises(KeyboardInterrupt):
            counts_of_run(folder, "DMF", "tiny", options, True)
    found, _ = counts_of_run(folder, "DMF", "tiny", options, True)
    for one, other in zip(whole, found, strict=True):
        for name, values in vars(one).items():
            np.testing.assert_array_equal(values, getattr(other, name))
    assert not whole[0].n_valid.any()  # they are training items here
    with pytest.raises(CannotResume, match="other options: learning_rate was"):
        counts_of_run(folder, "DMF", "tiny", {**options, "learning_rate": 0.1}, True)
    (folder / "epoch-2.npz").unlink()
    with pytest.raises(CannotResume, match="is missing, but its training has ended"):
        counts_of_run(folder, "DMF", "tiny", options, True)


@pytest.mark.slow
def test_script_writes_data_and_page(tiny, tmp_path, monkeypatch):
    words = ["--dataset=tiny", f"--data-path={tiny}", "--seeds=1,2", "--epochs=2"]
    words += ["--batch=512", f"--results={tmp_path / 'results'}", f"--out={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["habits.py", *words])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    data = json.loads((tmp_path / "habits-tiny.json").read_text())
    assert data["paper"] is None
    assert set(data["gains"]) >= {"epoch on test", "best of seeds", "sum", "together"}
    assert (tmp_path / "habits-tiny.md").read_text() == habit_page(data)
    against_paper = habit_page({**data, "paper": [0.9, 0.9]})
    assert "| training items: " in against_paper
    assert against_paper.count("% of the gap of +") == 2
