import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation import evaluate
from recbole_dmf.evaluation.candidates import candidates_from, draw_candidates
from recbole_dmf.evaluation.evaluate import Phase, per_user, summarise


def random_phase(generator, n_users, n_items, n_candidates=5):
    seen = generator.random((n_users, n_items)) < 0.3
    seen[:, 0] = False
    target = generator.integers(1, n_items, n_users)
    seen[np.arange(n_users), target] = True
    matrix = sp.csr_matrix(seen)
    drawn = draw_candidates(matrix, np.arange(n_users), target, generator, n_candidates)
    return seen, drawn, Phase(drawn, matrix, "cpu")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(3, 40))
def test_counts_are_those_of_a_plain_loop(seed, n_users, n_items):
    generator = np.random.default_rng(seed)
    seen, drawn, phase = random_phase(generator, n_users, n_items)
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


def test_batches_do_not_change_the_counts(monkeypatch):
    generator = np.random.default_rng(3)
    scores = generator.random((50, 30)).astype(np.float32)
    results = []
    for size in (8_000_000, 90):
        monkeypatch.setattr(evaluate, "_SCORES_PER_BATCH", size)
        _, _, phase = random_phase(np.random.default_rng(3), 50, 30)
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
    assert per_user(counts, "hit", 1)["full"].tolist() == [0.0]
