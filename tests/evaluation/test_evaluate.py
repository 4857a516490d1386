import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation import evaluate
from recbole_dmf.evaluation.candidates import candidates_from, draw_candidates
from recbole_dmf.evaluation.evaluate import Phase, n_users, per_user, summarise


def random_phase(generator, n_users, n_items, n_candidates=5, warm=None):
    seen = generator.random((n_users, n_items)) < 0.3
    seen[:, 0] = False
    target = generator.integers(1, n_items, n_users)
    seen[np.arange(n_users), target] = True
    matrix = sp.csr_matrix(seen)
    drawn = draw_candidates(matrix, np.arange(n_users), target, generator, n_candidates)
    return seen, drawn, Phase(drawn, matrix, "cpu", warm=warm)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(3, 40), st.floats(0, 1))
def test_counts_are_those_of_a_plain_loop(seed, n_users, n_items, share):
    generator = np.random.default_rng(seed)
    warm = generator.random(n_items) < share
    seen, drawn, phase = random_phase(generator, n_users, n_items, warm=warm)
    scores = generator.integers(-3, 3, (n_users, n_items)).astype(np.float32)
    counts = phase.count(lambda user: torch.from_numpy(scores[user.numpy()]))
    for row in range(n_users):
        own = scores[row, drawn.target[row]]
        unseen = [i for i in range(1, n_items) if not seen[row, i]]
        candidates = [i for i in drawn.items[row] if i >= 0]
        assert counts.n_unseen[row] == len(unseen)
        assert counts.full_above[row] == sum(scores[row, i] > own for i in unseen)
        assert counts.full_tied[row] == sum(scores[row, i] == own for i in unseen)
        assert counts.sampled_above[row] == sum(scores[row, i] > own for i in candidates)
        assert counts.sampled_tied[row] == sum(scores[row, i] == own for i in candidates)
        if not warm[drawn.target[row]]:
            assert counts.warm_unseen[row] == counts.warm_above[row] == counts.warm_tied[row] == -1
            continue
        unseen = [i for i in unseen if warm[i]]
        assert counts.warm_unseen[row] == len(unseen)
        assert counts.warm_above[row] == sum(scores[row, i] > own for i in unseen)
        assert counts.warm_tied[row] == sum(scores[row, i] == own for i in unseen)


def test_warm_reading_is_the_expected_one_without_the_cold_items():
    """The same scores over a catalogue from which the cold items were left out."""
    generator = np.random.default_rng(5)
    warm = np.arange(400) % 3 != 1
    seen, drawn, phase = random_phase(generator, 40, 400, 20, warm)
    scores = torch.from_numpy(generator.integers(0, 60, (40, 400)).astype(np.float32))
    counts = phase.count(lambda user: scores[user].clone())
    kept = np.flatnonzero(warm)  # 0 among them
    users = np.flatnonzero(warm[drawn.target])
    targets = np.searchsorted(kept, drawn.target[users])
    small = sp.csr_matrix(seen[:, kept])
    redrawn = draw_candidates(small, users, targets, generator, 20)
    alone = Phase(redrawn, small, "cpu").count(lambda user: scores[user][:, kept].clone())
    for metric in ("hit", "ndcg"):
        found, wanted = per_user(counts, metric, 10)["warm"], per_user(alone, metric, 10)
        np.testing.assert_allclose(found[users], wanted["expected"], rtol=1e-12)
        assert np.isnan(np.delete(found, users)).all()
        mean = summarise(counts, [metric], [10])["warm"][f"{metric}@10"]
        assert mean == pytest.approx(wanted["expected"].mean(), rel=1e-12)
    assert n_users(counts) == {"sampled": 40, "expected": 40, "full": 40, "warm": len(users)}
    assert 0 < len(users) < 40


def test_all_warm_is_the_expected_reading_and_none_is_no_reading():
    scores = torch.rand(30, 200, generator=torch.Generator().manual_seed(1))

    def values(warm):
        _, _, phase = random_phase(np.random.default_rng(2), 30, 200, warm=warm)
        return per_user(phase.count(lambda user: scores[user].clone()), "ndcg", 10)

    found = values(np.ones(200, bool))
    np.testing.assert_array_equal(found["warm"], found["expected"])
    for none in (None, np.zeros(200, bool)):
        assert list(values(none)) == ["sampled", "expected", "full"]


def test_batches_do_not_change_the_counts(monkeypatch):
    generator = np.random.default_rng(3)
    scores = generator.random((50, 30)).astype(np.float32)
    results = []
    for size in (8_000_000, 90):
        monkeypatch.setattr(evaluate, "_SCORES_PER_BATCH", size)
        warm = np.arange(30) % 4 > 0
        _, _, phase = random_phase(np.random.default_rng(3), 50, 30, warm=warm)
        results.append(phase.count(lambda user: torch.from_numpy(scores[user.numpy()])))
    for name, values in vars(results[0]).items():
        np.testing.assert_array_equal(values, getattr(results[1], name))


def test_constant_scorer_scores_chance_whatever_the_ids():
    seen = sp.csr_matrix((np.ones(40), (np.arange(40), np.arange(1, 41))), shape=(40, 500))
    drawn = draw_candidates(
        seen, np.arange(40), np.arange(1, 41), np.random.default_rng(0), n_candidates=100
    )
    counts = Phase(drawn, seen, "cpu").count(lambda user: torch.full((len(user), 500), 0.25))
    result = summarise(counts, ["Hit", "NDCG"], [10])
    assert result["sampled"]["hit@10"] == 10 / 101
    assert result["expected"]["hit@10"] == pytest.approx(10 / 101, rel=1e-12)
    assert result["full"]["hit@10"] == pytest.approx(10 / 499, rel=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_not_finite_are_an_error(bad):
    _, _, phase = random_phase(np.random.default_rng(0), 4, 12)

    def scores(user):
        score = torch.zeros(len(user), 12)
        score[-1, 5] = bad
        return score

    with pytest.raises(UserError, match="NaN or infinite"):
        phase.count(scores)


def test_padding_may_score_anything():
    seen = sp.csr_matrix(([1.0], ([0], [1])), shape=(1, 6))
    drawn = candidates_from(np.array([0]), np.array([1]), np.array([[2, 3, -1]]))
    score = torch.tensor([[torch.inf, 2.0, 1.0, 3.0, 0.0, 2.0]])
    counts = Phase(drawn, seen, "cpu").count(lambda user: score.clone())
    assert counts.n_unseen.tolist() == [4]
    assert (counts.full_above.tolist(), counts.full_tied.tolist()) == ([1], [1])
    assert (counts.sampled_above.tolist(), counts.sampled_tied.tolist()) == ([1], [0])
    assert counts.warm_unseen.tolist() == [-1]
    assert per_user(counts, "hit", 1)["full"].tolist() == [0.0]
