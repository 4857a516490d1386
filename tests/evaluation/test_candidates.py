import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_dmf.evaluation.candidates import candidates_from, draw_candidates


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(2, 160), st.floats(0, 0.9), st.integers(0, 2**31))
def test_distinct_unseen_and_never_padding(n_users, n_items, density, seed):
    generator = np.random.default_rng(seed)
    seen = generator.random((n_users, n_items)) < density
    seen[:, 0] = False
    drawn = draw_candidates(
        sp.csr_matrix(seen), np.arange(n_users), np.ones(n_users, int), generator
    )
    for user, items in enumerate(drawn.items):
        real = items[items >= 0]
        unseen = set(np.flatnonzero(~seen[user])) - {0}
        assert len(set(real)) == len(real) == min(100, len(unseen))
        assert set(real) <= unseen
        assert (items[len(real) :] == -1).all()


def test_every_unseen_item_is_equally_likely():
    seen = sp.csr_matrix((400, 201))
    drawn = draw_candidates(
        seen, np.arange(400), np.ones(400, int), np.random.default_rng(1), n_candidates=100
    )
    counts = np.bincount(drawn.items.ravel(), minlength=201)[1:]
    chi_square = ((counts - 200) ** 2 / 100).sum()  # variance of 400 draws with p = 1/2
    assert chi_square < 200 + 5 * np.sqrt(2 * 200)


def test_hash_depends_on_the_content_alone():
    user, target = np.array([2, 1]), np.array([5, 6])
    items = np.array([[1, 2], [3, 4]])
    first = candidates_from(user, target, items)
    again = candidates_from(user[::-1].astype(np.int32), target[::-1], items[::-1])
    assert first.sha256 == again.sha256
    assert first.user.tolist() == [1, 2]
    assert first.items.tolist() == [[3, 4], [1, 2]]
    assert candidates_from(user, target, items + 1).sha256 != first.sha256


@pytest.mark.slow
def test_same_for_two_models_and_in_two_processes(ready, tiny):
    hashes = []
    for model in ("DMF", "BPR"):
        _, prepared, _ = ready(model)
        hashes.append([prepared.phases[p].candidates.sha256 for p in ("valid", "test")])
    program = (
        "from recbole_dmf.config import build_config; from recbole_dmf.prepare import prepare;"
        "from recbole_dmf.host.lookup import load_dataset;"
        f"c = build_config('BPR', 'tiny', None, {{'data_path': {str(tiny)!r}, 'seed': 7}});"
        "p = prepare(c, load_dataset(c));"
        "print(*(p.phases[n].candidates.sha256 for n in ('valid', 'test')))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    hashes.append(other.stdout.split())
    assert hashes[0] == hashes[1] == hashes[2], other.stderr
    assert hashes[0][0] != hashes[0][1]


def test_other_split_seed_other_candidates(ready):
    first = ready("DMF")[1].phases["test"].candidates
    other = ready("DMF", split_seed=1)[1].phases["test"].candidates
    assert first.sha256 != other.sha256
    assert first.target.tolist() == other.target.tolist()
