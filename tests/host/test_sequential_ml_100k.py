"""RecBole's sequential models on ml-100k: DMF's candidates, and figures that can be recomputed."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hypergeom

from recbole_dmf.run import run_recbole

FEW = {"epochs": 1, "train_batch_size": 4096, "MAX_ITEM_LIST_LENGTH": 20, "hidden_size": 16}
MODELS = {
    "RecBoleSASRec": {**FEW, "inner_size": 32, "n_layers": 1},
    "GRU4Rec": {**FEW, "embedding_size": 16},
}
GAIN = {"hit@10": np.ones(10), "ndcg@10": 1 / np.log2(np.arange(10) + 2)}


@pytest.fixture(scope="module")
def candidates_of_dmf(tmp_path_factory):
    options = {"checkpoint_dir": str(tmp_path_factory.mktemp("dmf")), "epochs": 1}
    options |= {"preset": "dmf-fast", "train_batch_size": 65536, "use_gpu": False}
    return run_recbole("DMF", "ml-100k", config_dict=options)["result"]["candidates_sha256"]


def mean_over_ranks(above, tied, value_at):
    """Every rank that the target may have among those level with it is equally likely."""
    return np.mean([value_at(rank) for rank in range(above, above + tied + 1)])


def recomputed(user, metric, reading):
    gain = GAIN[metric]

    def of_rank(rank):
        return gain[rank] if rank < 10 else 0.0

    if reading == "sampled":
        return mean_over_ranks(user.sampled_above, user.sampled_tied, of_rank)
    if reading == "full":
        return mean_over_ranks(user.full_above, user.full_tied, of_rank)

    def of_draws(rank):
        drawn = hypergeom(user.n_unseen, rank, user.n_candidates)
        return float(drawn.pmf(np.arange(10)) @ gain)

    return mean_over_ranks(user.full_above, user.full_tied, of_draws)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_candidates_and_figures(name, candidates_of_dmf, tmp_path):
    options = {**MODELS[name], "checkpoint_dir": str(tmp_path), "use_gpu": False}
    run = run_recbole(name, "ml-100k", config_dict=options)
    assert run["result"]["candidates_sha256"] == candidates_of_dmf
    users = pd.read_csv(f"{run['folder']}/per_user.csv")
    assert len(users) == 943
    for reading in ("sampled", "expected", "full"):
        for metric, value in run["result"]["metrics"]["test"][reading].items():
            found = [recomputed(user, metric, reading) for user in users.itertuples()]
            np.testing.assert_allclose(users[f"{metric}_{reading}"], found, atol=1e-9)
            assert np.mean(found) == pytest.approx(value, abs=1e-9)
