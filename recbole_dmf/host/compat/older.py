"""Where RecBole 1.2.0, the newest that plain pip installs on Python 3.12, falls behind 1.2.1.

RecBole 1.2.1 pins ray <= 2.6.3, which has no wheel for Python 3.12 and later.
"""

from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import recbole
from torch.nn import Dropout

from recbole_dmf.errors import UserError
from recbole_dmf.host.compat.patch import Undo, all_of, replace, replace_module
from recbole_dmf.options import Config

IS_OLDER = recbole.__version__ == "1.2.0"
NEWER = (
    "Install 1.2.1 without its ray, which nothing here needs: pip install --no-deps recbole==1.2.1"
)


def asymknn_is_explained() -> Undo:
    """1.2.0 has no general_recommender/asymknn.py."""
    name = "recbole.model.general_recommender.asymknn"
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None)

    def explain(attribute: str):
        if attribute == "AsymKNN":
            raise UserError(f"AsymKNN is not in RecBole 1.2.0. {NEWER}")
        raise AttributeError(attribute)

    vars(module)["__getattr__"] = explain
    return replace_module(name, module)


def time_split_is_explained() -> Undo:
    """data/dataset/dataset.py:1787 of 1.2.0 has no split `TS`."""
    from recbole.data.dataset import Dataset

    original = Dataset.build

    def build(self):
        if "TS" in (self.config["eval_args"]["split"] or {}):
            raise UserError(f"eval_args: RecBole 1.2.0 has no split 'TS'. {NEWER}")
        return original(self)

    return replace(Dataset, "build", build)


def knn_of_users_is_explained() -> Undo:
    """general_recommender/itemknn.py:178 of 1.2.0 takes items' neighbours in any case."""
    from recbole.model.general_recommender.itemknn import ItemKNN

    original = ItemKNN.__init__

    def init(self, config: Config, dataset: Any):
        if config["knn_method"] not in (None, "item"):
            raise UserError(
                f"knn_method: RecBole 1.2.0's ItemKNN knows 'item' only. Take "
                f"--model=ItemKNN, this package's own. {NEWER}"
            )
        original(self, config, dataset)

    return replace(ItemKNN, "__init__", init)


def simplex_dropout_is_an_option() -> Undo:
    """general_recommender/simplex.py:76 of 1.2.0 fixes the dropout at 0.1."""
    from recbole.model.general_recommender import SimpleX

    original = SimpleX.__init__

    def init(self, config: Config, dataset: Any):
        original(self, config, dataset)
        if config["dropout_prob"] is not None:
            self.dropout = Dropout(config["dropout_prob"])

    return replace(SimpleX, "__init__", init)


def ngcf_dropout_ends_with_training() -> Undo:
    """general_recommender/ngcf.py:159 of 1.2.0 makes a new Dropout per call, which always drops."""
    from recbole.model.general_recommender import NGCF

    original = NGCF.forward

    def forward(self):
        probability = self.message_dropout
        self.message_dropout = probability if self.training else 0.0
        try:
            return original(self)
        finally:
            self.message_dropout = probability

    return replace(NGCF, "forward", forward)


def diffrec_scores_pairs() -> Undo:
    """diffrec.py:328 and ldiffrec.py:337 of 1.2.0 score each user with the whole batch's items."""
    from recbole.model.general_recommender import DiffRec, LDiffRec

    def predict(self, interaction):
        item = interaction[self.ITEM_ID]
        return self.full_sort_predict(interaction).gather(1, item.unsqueeze(1)).squeeze(1)

    return all_of(*(replace(model, "predict", predict) for model in (DiffRec, LDiffRec)))


def diffrec_without_noise_is_not_reweighted() -> Undo:
    """general_recommender/diffrec.py:154 of 1.2.0 needs noise that `noise_scale: 0` lacks."""
    from recbole.model.general_recommender import DiffRec

    original = DiffRec.calculate_for_diffusion

    def calculate_for_diffusion(self):
        if self.noise_scale == 0.0:
            self.reweight = False
        else:
            original(self)

    return replace(DiffRec, "calculate_for_diffusion", calculate_for_diffusion)


def scores_are_on_the_device() -> Undo:
    """admmslim.py:114, random.py:38 and slimelastic.py:98 of 1.2.0 score on the CPU alone."""
    from recbole.model.general_recommender import ADMMSLIM, Random, SLIMElastic

    def moved(original):
        def predict(self, interaction):
            return original(self, interaction).to(self.device)

        return predict

    models = (ADMMSLIM, Random, SLIMElastic)
    return all_of(*(replace(model, "predict", moved(model.predict)) for model in models))


DIFFERENCES = (
    asymknn_is_explained,
    time_split_is_explained,
    knn_of_users_is_explained,
    simplex_dropout_is_an_option,
    ngcf_dropout_ends_with_training,
    diffrec_scores_pairs,
    diffrec_without_noise_is_not_reweighted,
    scores_are_on_the_device,
)
