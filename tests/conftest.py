"""Shared by all tests: small data sets on disk and runs over them, with real RecBole."""

import signal
from pathlib import Path

import numpy as np
import pytest
import recbole
import torch
from hypothesis import settings

pytest_plugins = ["finished_runs"]
torch.set_num_threads(1)
settings.register_profile("steady", deadline=None)  # a busy machine is no failure
settings.load_profile("steady")
# A shell's background jobs ignore Ctrl-C and would pass that on to the commands under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
ML_100K = Path(recbole.__file__).parent / "dataset_example" / "ml-100k" / "ml-100k.inter"


def needs_shared(name: str):
    """Skips where the rating file, whose terms forbid shipping it, is not beside the checkout."""
    path = SHARED / name / f"{name}.inter"
    return pytest.mark.skipif(not path.is_file(), reason=f"{path} is not on this machine")


def write_inter(folder: Path, rows, name: str = "tiny") -> Path:
    """Write FOLDER/NAME/NAME.inter from (user, item, rating, timestamp) rows; returns FOLDER."""
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    lines += ["\t".join(str(value) for value in row) for row in rows]
    (target / f"{name}.inter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def random_rows(n_users=30, n_items=150, per_user=12, seed=0):
    """Distinct (user, item) pairs with ratings 1..5 and distinct timestamps per user."""
    generator = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        items = generator.choice(n_items, size=per_user, replace=False)
        times = generator.permutation(per_user) + 900_000_000
        rows += [
            (f"u{user}", f"i{item}", int(generator.integers(1, 6)), int(time))
            for item, time in zip(items, times, strict=True)
        ]
    return rows


def history_of(recommender, number):
    """A known user's training ratings by item id, the oldest first."""
    row = recommender.train[number]
    rating = dict(zip(row.indices.tolist(), row.data.astype(float), strict=True))
    items = list(rating)
    if recommender.content["settings"].get("recent_items"):
        start, item = recommender.model.history_start, recommender.model.history_item
        items = item[start[number] : start[number + 1]].tolist()
        assert sorted(items) == list(rating)
    return {recommender.items[item]: rating[item] for item in items}


@pytest.fixture
def tiny(tmp_path):
    """Data path with the data set `tiny`: 30 users, up to 150 items, 12 ratings each."""
    return write_inter(tmp_path / "data", random_rows())


@pytest.fixture
def ready(tiny, tmp_path):
    """A function (model, **options) -> (config, Prepared, model) on `tiny`, untrained."""
    from recbole.utils import init_seed

    from recbole_dmf.config import build_config
    from recbole_dmf.host import lookup
    from recbole_dmf.prepare import prepare

    def make(model="DMF", data_path=tiny, dataset="tiny", **options):
        options = {"data_path": str(data_path), "checkpoint_dir": str(tmp_path / "runs"), **options}
        config = build_config(model, dataset, None, options)
        init_seed(config["seed"], config["reproducibility"])
        prepared = prepare(config, lookup.load_dataset(config))
        return config, prepared, lookup.find_model(model)(config, prepared.train)

    return make
