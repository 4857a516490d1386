"""Fixtures of finished runs on a small data set, each made once in a session."""

import pytest

from conftest import random_rows, write_inter
from recbole_dmf.config import build_config
from recbole_dmf.run import run_in
from recbole_dmf.serving.recommend import Recommender

FAST = {"init": "xavier", "output_activation": "linear", "learning_rate": 0.01, "epochs": 2}
RUNS = {
    "DMF-cosine": ("DMF", FAST),
    "DMF-scaled": ("DMF", {**FAST, "similarity": "scaled_cosine", "target_masking": True}),
    "DMF-dot": ("DMF", {**FAST, "similarity": "dot", "loss_type": "ce"}),
    "DMF-binary": ("DMF", {**FAST, "interaction_matrix": "binary", "target_masking": True}),
    "DMF-relu": ("DMF", {**FAST, "output_activation": "relu", "first_layer_activation": "relu"}),
    "DMF-deep": ("DMF", {**FAST, "user_layers": [32, 16, 8], "item_layers": [8]}),
    "DMF-bias": ("DMF", {**FAST, "first_layer_bias": True, "epochs": 1}),
    "DMF-recent": ("DMF", {**FAST, "recent_items": 3, "recent_decay": 0.5}),
    "LFM": ("LFM", {"epochs": 1}),
    "BPR": ("BPR", {"epochs": 1}),
    "EASE": ("EASE", {}),
    "ItemKNN": ("ItemKNN", {"k": 20}),
    "ItemPop": ("ItemPop", {}),
    "EALS": ("EALS", {"embedding_size": 8, "epochs": 2}),
    "NeuMFp": ("NeuMFp", {"pretrain_epochs": 1, "epochs": 1}),
    "LightGCN": ("LightGCN", {"epochs": 1}),
    "RecBoleDMF": ("RecBoleDMF", {"epochs": 1}),
    "MultiVAE": ("MultiVAE", {"epochs": 1}),
}
VARIANTS = [name for name in RUNS if name.startswith("DMF")]

HARD_IDS = [
    "007",
    "7",
    " lead",
    "two words",
    "naïve-日本語-🎬",
    "x" * 500,
    "a,b",
    '"quoted"',
    "1e3",
]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """A function (name in RUNS) -> folder of that run, trained at its first use.

    The data set is gone by then, since nothing in serving may need it.
    """
    made = {}

    def make(name):
        if name not in made:
            base = tmp_path_factory.mktemp(name)
            data = write_inter(base / "data", random_rows())
            made[name] = train(base, data, *RUNS[name])
        return made[name]

    return make


@pytest.fixture(scope="session")
def load(folder_of):
    """A function (name in RUNS) -> its Recommender."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = Recommender.load(folder_of(name))
        return made[name]

    return make


@pytest.fixture(scope="session")
def hard_run(tmp_path_factory):
    """Folder of a run on a data set in which some users and items have awkward ids."""
    base = tmp_path_factory.mktemp("hard")
    plain = random_rows()
    items = dict.fromkeys(row[1] for row in plain)
    names = dict(zip(items, HARD_IDS, strict=False))
    names |= {f"u{n}": name for n, name in enumerate(HARD_IDS)}
    rows = [(names.get(u, u), names.get(i, i), r, t) for u, i, r, t in plain]
    data = write_inter(base / "data", rows)
    return train(base, data, "DMF", {"epochs": 1, "init": "xavier"})


@pytest.fixture(scope="session")
def train_on():
    """A function (base, data path, model, options) -> folder of the run."""
    return train


def train(base, data, model, options):
    settings = {"data_path": str(data), "checkpoint_dir": str(base), "use_gpu": False, **options}
    folder = base / "run"
    folder.mkdir()
    config = build_config(model, "tiny", None, settings)
    run_in(folder, config)
    (data / "tiny" / "tiny.inter").unlink()
    return folder
