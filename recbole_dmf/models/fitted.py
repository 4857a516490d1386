"""What the models without gradient steps share, and how large a model is."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor

from recbole_dmf.options import Config


class FittedRecommender(GeneralRecommender):
    """A model that learns in `fit_epoch`, called once per epoch, in place of gradient steps.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions.
    """

    input_type = InputType.POINTWISE

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        # RecBole's trainer wants an optimiser, and that wants a parameter.
        self.fake_loss = torch.nn.Parameter(torch.zeros(1))

    def fit_epoch(self) -> float:
        """Learn. Returns the objective afterwards, 0 where there is none."""
        raise NotImplementedError

    def n_stored(self) -> int:
        """How many numbers the scores need: those of the buffers."""
        return sum(buffer.numel() for buffer in self.buffers())

    def calculate_loss(self, interaction) -> Tensor:
        """Zero, shape []: the training is `fit_epoch`."""
        return self.fake_loss.sum() * 0.0


def n_stored(model: Any) -> int:
    """How many numbers a trained model's scores need.

    The parameters that are trained; in a model that counts or solves, what it has counted or
    solved for (of a sparse matrix the stored entries).
    """
    if isinstance(model, FittedRecommender):
        return model.n_stored()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if set(trained) - {"fake_loss"}:
        return sum(parameter.numel() for parameter in trained.values())
    # RecBole's models without gradients name what a checkpoint needs besides the parameters.
    other = model.other_parameter() or {}
    return sum(_size(value) for value in other.values())


def _size(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel()
    if sp.issparse(value):
        return value.nnz
    return int(np.size(value))
