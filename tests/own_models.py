"""Model classes as a user writes them; host/test_own_classes.py runs them."""

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.general_recommender import BPR
from recbole.utils import InputType

from recbole_dmf import DMF


class Nearest(GeneralRecommender):
    """Scores are minus the distance of two random vectors, times an option of its own."""

    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.scale = config["nearest_scale"] or 1.0
        self.user = torch.nn.Embedding(self.n_users, 4)
        self.item = torch.nn.Embedding(self.n_items, 4)

    def calculate_loss(self, interaction):
        user, item = interaction[self.USER_ID], interaction[self.ITEM_ID]
        other = interaction[self.NEG_ITEM_ID]
        return torch.nn.functional.softplus(self.score(user, other) - self.score(user, item)).mean()

    def score(self, user, item):
        return -self.scale * (self.user(user) - self.item(item)).square().sum(-1)

    def predict(self, interaction):
        return self.score(interaction[self.USER_ID], interaction[self.ITEM_ID])


class NegatedDMF(DMF):
    """DMF that recommends what DMF would recommend last."""

    def predict(self, interaction):
        return -super().predict(interaction)

    def full_sort_predict(self, interaction):
        return -super().full_sort_predict(interaction)


class SameDMF(DMF):
    """DMF with another loss's name only, so that new users are scored as DMF's."""

    def calculate_loss(self, interaction):
        return 2 * super().calculate_loss(interaction)


class WideBPR(BPR):
    """RecBole's BPR under another name."""
