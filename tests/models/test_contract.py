"""What every model has to keep: ours, and RecBole's own beside them."""

import csv
import json

import numpy as np
import pytest
import torch
from recbole.utils import init_seed

from conftest import random_rows, write_inter
from recbole_dmf.config import build_config
from recbole_dmf.host import lookup
from recbole_dmf.models.fitted import n_stored
from recbole_dmf.prepare import prepare
from recbole_dmf.run import run_in
from recbole_dmf.training.checkpoint import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.slow

# Options for a run of two epochs.
MODELS = {
    "DMF": {"init": "xavier", "learning_rate": 0.01},
    "LFM": {"learning_rate": 0.01},
    "ItemPop": {},
    "ItemKNN": {"k": 20},
    "EALS": {"embedding_size": 8},
    "NeuMFp": {"pretrain_epochs": 2},
    "BPR": {},
    "EASE": {},
    "Pop": {},
    "RecentPop": {},
    "SequentialKNN": {},
    "SASRec": {"hidden_size": 8, "train_batch_size": 2000},
    "GRU4Rec": {"embedding_size": 8, "hidden_size": 8},
}
# Options that are enough to find two separate blocks.
LEARNS = {
    "DMF": {"init": "xavier", "learning_rate": 0.01, "epochs": 10},
    "LFM": {"similarity": "scaled_cosine", "learning_rate": 0.01, "epochs": 20},
    "ItemKNN": {},
    "EALS": {"embedding_size": 4, "epochs": 20},
    "NeuMFp": {"pretrain_learning_rate": 0.01, "pretrain_epochs": 40, "epochs": 2},
    "BPR": {"learning_rate": 0.03, "epochs": 30},
    "EASE": {},
}


READS_ORDER = ("RecentPop", "SequentialKNN", "SASRec", "GRU4Rec")
# No epochs, whatever `--epochs` says.
ONCE = ("ItemPop", "ItemKNN", "EASE", "Pop", "RecentPop", "SequentialKNN")
EPOCHS = {"NeuMFp": 2 + 2 + 1 + 2}


class Run:
    """A finished run, and its model rebuilt from the files."""

    def __init__(self, folder, model, data_path, dataset="tiny", **options):
        options = {"data_path": str(data_path), "checkpoint_dir": str(folder), **options}
        options = {"epochs": 2, "use_gpu": False, **options}
        self.folder = folder / "run"
        self.folder.mkdir(parents=True)
        self.config = build_config(model, dataset, None, options)
        self.result = run_in(self.folder, self.config)["result"]
        self.prepared = prepare(self.config, lookup.load_dataset(self.config))
        self.model = self.load(self.folder / "model.pt")

    def load(self, path, seed=1):
        """A new model of other random numbers with the parameters of a checkpoint."""
        init_seed(seed, True)
        model = lookup.find_model(self.config["model"])(self.config, self.prepared.train)
        content = load_checkpoint(path)
        model.load_state_dict(content["state_dict"])
        model.load_other_parameter(content["other_parameter"])
        model.eval()
        return model

    def scores(self, user, model=None):
        """Scores [n, n_items] of users."""
        model = model or self.model
        with torch.no_grad():
            try:
                score = model.full_sort_predict({model.USER_ID: user})
            except NotImplementedError:
                score = self.pair_scores(user, model)
        return score.view(len(user), -1).clone()

    def pair_scores(self, user, model=None):
        """The same from `predict`."""
        model = model or self.model
        item = torch.arange(model.n_items)
        pairs = {
            model.USER_ID: user.repeat_interleave(len(item)),
            model.ITEM_ID: item.repeat(len(user)),
        }
        with torch.no_grad():
            return model.predict(pairs).view(len(user), -1)

    def per_user(self):
        with (self.folder / "per_user.csv").open() as file:
            return list(csv.DictReader(file))

    def test_counts(self, change=lambda score: score):
        return vars(self.prepared.phases["test"].count(lambda u: change(self.scores(u))))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_inter(tmp_path_factory.mktemp("data"), random_rows())


@pytest.fixture(scope="module", params=MODELS)
def run(request, data, tmp_path_factory):
    return Run(tmp_path_factory.mktemp("runs"), request.param, data, **MODELS[request.param])


@pytest.fixture
def users(run):
    return torch.arange(1, run.model.n_users)


def test_fits(run):
    result = json.loads((run.folder / "result.json").read_text())
    assert result == run.result
    assert result["reads_order"] == (result["model"] in READS_ORDER)
    if run.config["model"] in ONCE:
        assert (result["best_epoch"], result["epochs_run"]) == (None, 1)
    else:
        assert (
            1 <= result["best_epoch"] <= result["epochs_run"] == EPOCHS.get(run.config["model"], 2)
        )
    for phase in ("valid", "test"):
        for reading in ("sampled", "expected", "full"):
            assert all(0 <= value <= 1 for value in result["metrics"][phase][reading].values())


def test_size_is_the_numbers_that_the_scores_need(run):
    users, items = run.model.n_users, run.model.n_items
    expected = {
        "DMF": 64 * (users + items) + 2 * (64 * 64 + 64),
        "LFM": 64 * (users + items) + 2 * 64 * 64,
        "ItemPop": items,
        "EALS": 8 * (users + items),
        "BPR": 64 * (users + items),
        "EASE": users**2 + items,  # the inverse over users, who are fewer, and the diagonal
        "RecentPop": 2 * run.result["counts"]["train"],
        "SequentialKNN": getattr(getattr(run.model, "neighbours", None), "nnz", None),
        "Pop": items + 1,  # RecBole keeps the largest count as well
    }
    name = run.config["model"]
    if name == "ItemKNN":
        scores = np.diff(run.model.neighbours.indptr)
        assert n_stored(run.model) == scores.sum() <= 20 * items
    elif name in expected:
        assert n_stored(run.model) == expected[name]


def test_scores_have_a_shape_and_are_finite(run, users):
    scores = run.scores(users)
    assert scores.shape == (run.model.n_users - 1, run.model.n_items)
    assert scores.dtype.is_floating_point
    assert torch.isfinite(scores).all()


def test_same_seed_same_result(run, users, data, tmp_path):
    name = run.config["model"]
    again = Run(tmp_path, name, data, **MODELS[name])
    assert torch.equal(again.scores(users), run.scores(users))
    assert again.per_user() == run.per_user()
    assert again.result["metrics"] == run.result["metrics"]


def test_saved_and_loaded_model_ranks_as_the_trained_one(run):
    counts = run.test_counts()
    rows = run.per_user()
    for column, values in counts.items():
        assert [int(row[column]) for row in rows] == values.tolist(), column


def test_a_second_copy_scores_the_same(run, users, tmp_path):
    model = run.model
    content = {"state_dict": dict(model.state_dict()), "other_parameter": model.other_parameter()}
    save_checkpoint(tmp_path / "copy.pt", content)
    copy = run.load(tmp_path / "copy.pt", seed=2)
    assert torch.equal(run.scores(users, copy), run.scores(users))


def test_cold_items_and_users_have_finite_scores(run):
    feat = run.prepared.train.inter_feat
    cold = np.setdiff1d(np.arange(1, run.model.n_items), feat[run.model.ITEM_ID].numpy())
    assert len(cold)
    with_empty_row = torch.tensor([0])  # the padding user has no interactions
    everybody = torch.arange(run.model.n_users)
    assert torch.isfinite(run.scores(everybody)[:, cold]).all()
    assert torch.isfinite(run.pair_scores(everybody)[:, cold]).all()
    assert torch.isfinite(run.scores(with_empty_row)).all()


def test_a_batch_is_its_users_one_by_one(run, users):
    batch = run.scores(users)
    single = torch.cat([run.scores(user[None]) for user in users])
    torch.testing.assert_close(batch, single)
    shuffled = users[torch.randperm(len(users))]
    torch.testing.assert_close(run.scores(shuffled), batch[shuffled - 1])


def test_pairs_score_as_full_rows(run, users):
    torch.testing.assert_close(
        run.pair_scores(users).double(), run.scores(users).double(), rtol=1e-5, atol=1e-6
    )


def test_padding_is_never_recommended(run):
    def padding_first(score):
        score[:, 0] = 1e30
        return score

    changed, counts = run.test_counts(padding_first), run.test_counts()
    for column, values in counts.items():
        assert changed[column].tolist() == values.tolist(), column


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """Even users know the even items, odd users the odd ones; the latest one differs by user."""
    rows = [
        (f"u{user}", f"i{item}", 5, (item // 2 - user // 2 - 1) % 24)
        for user in range(48)
        for item in range(user % 2, 48, 2)
    ]
    return write_inter(tmp_path_factory.mktemp("blocks"), rows, "blocks")


@pytest.mark.parametrize("name", LEARNS)
def test_planted_blocks_are_found(name, blocks, tmp_path):
    run = Run(tmp_path, name, blocks, "blocks", **{"train_batch_size": 256, **LEARNS[name]})
    counts = run.test_counts()
    assert (counts["n_unseen"] == 24).all()  # the other block's
    assert counts["full_above"].max() == 0
    assert counts["full_tied"].max() == 0


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Users meet heads, half of which their partners follow at once; the last one's is tested."""
    generator = np.random.default_rng(0)
    rows = []
    for user in range(200):
        *heads, last = generator.permutation(24)[:9]
        items = [item for head in heads for item in [head, 24 + head][: generator.integers(1, 3)]]
        items += [last, 24 + last]
        rows += [(f"u{user}", f"i{item}", 5, 1 + time) for time, item in enumerate(items)]
    return write_inter(tmp_path_factory.mktemp("pairs"), rows, "pairs")


DMF = {"preset": "dmf-scaled-cosine", "epochs": 15, "learning_rate": 0.01, "train_batch_size": 1024}
SASREC = {"hidden_size": 16, "epochs": 15, "learning_rate": 0.01, "train_batch_size": 4000}


@pytest.mark.parametrize(
    ("model", "options", "found"),
    [
        ("DMF", {**DMF, "recent_items": 0}, False),
        ("DMF", {**DMF, "recent_items": 2}, True),
        ("SequentialKNN", {}, True),
        ("SASRec", SASREC, True),
    ],
)
def test_planted_successors_are_found_by_the_latest_items(model, options, found, pairs, tmp_path):
    run = Run(tmp_path, model, pairs, "pairs", **options)
    first = (run.test_counts()["full_above"] == 0).mean()
    assert first > 0.4 if found else first < 0.2


def test_popularity_finds_no_blocks(blocks, tmp_path):
    run = Run(tmp_path, "ItemPop", blocks, "blocks")
    assert run.test_counts()["full_above"].mean() > 5
