"""What the models without gradient steps share."""

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor


class FittedRecommender(GeneralRecommender):
    """A model that learns in `fit_epoch`, called once per epoch, in place of gradient steps.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions.
    """

    input_type = InputType.POINTWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        # RecBole's trainer wants an optimiser, and that wants a parameter.
        self.fake_loss = torch.nn.Parameter(torch.zeros(1))

    def fit_epoch(self) -> float:
        """Learn. Returns the objective afterwards, 0 where there is none."""
        raise NotImplementedError

    def calculate_loss(self, interaction) -> Tensor:
        """Zero, shape []: the training is `fit_epoch`."""
        return self.fake_loss.sum() * 0.0
