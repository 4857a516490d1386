"""RecBole without our plugin, for the before-and-after of each workaround."""

import sys

import pytest
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model

from recbole_dmf.host import plugin
from recbole_dmf.host.compat.libraries import old_numpy_names_exist


@pytest.fixture
def stock():
    """RecBole exactly as it is installed."""
    plugin.unregister()
    yield
    plugin.unregister()  # a test may have registered it
    plugin.register()


@pytest.fixture(autouse=True)
def usable(request):
    """RecBole with the one workaround that any Config needs with NumPy 2."""
    if "stock" in request.fixturenames:
        yield
        return
    plugin.unregister()
    put_back = old_numpy_names_exist()
    yield
    plugin.unregister()
    put_back()
    plugin.register()


@pytest.fixture
def apply():
    undo = []
    yield lambda workaround: undo.append(workaround())
    while undo:
        undo.pop()()


@pytest.fixture
def no_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program"])


@pytest.fixture
def config(no_arguments):
    """A function (**options) -> Config of BPR on ml-100k, or what the options say."""

    def make(**options):
        options = {"metrics": ["Hit"], "valid_metric": "Hit@10", **options}
        names = options.pop("model", "BPR"), options.pop("dataset", "ml-100k")
        return Config(*names, config_dict=options)

    return make


@pytest.fixture
def tiny_config(config, tiny):
    """A function (**options) -> Config on the data set `tiny`, all columns."""
    columns = {"inter": ["user_id", "item_id", "rating", "timestamp"]}

    def make(**options):
        return config(dataset="tiny", data_path=str(tiny), load_col=columns, **options)

    return make


@pytest.fixture
def model(tiny_config):
    """A function (name, **options) -> untrained model on the data set `tiny`."""

    def make(name, **options):
        given = tiny_config(model=name, **options)
        train, _, _ = data_preparation(given, create_dataset(given))
        return get_model(name)(given, train.dataset)

    return make
