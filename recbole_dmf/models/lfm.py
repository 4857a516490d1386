"""LFM, Table 3 of Xue et al., IJCAI 2017: a one-layer DMF whose inputs are trained vectors."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_dmf.errors import UserError
from recbole_dmf.models.dmf import pair_loss
from recbole_dmf.models.towers import INITS, TwoTowerModel, initialise
from recbole_dmf.options import Config, choice


class LFM(TwoTowerModel):
    """Latent factor model with DMF's similarity and losses ("LFM-nce").

    "If we randomly initialize the representation vector of each user and each item as the input
    to a one layer DMF model, the model would be a standard Latent Factorization Model." The
    vectors are trained along with the two layers, which have no bias, as Eq. (5), line 1.

    The options and their sources are in `properties/model/LFM.yaml`.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions.

    Raises:
        UserError: an option has a value that LFM cannot work with.
    """

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        if self.loss_type == "softmax":
            raise UserError("LFM has no softmax loss; choose nce, ce, square or bpr.")
        width, factors = config["embedding_size"], config["factors"]
        self.user_input = nn.Parameter(torch.empty(self.n_users, width))
        self.item_input = nn.Parameter(torch.empty(self.n_items, width))
        self.user_layer = nn.Linear(width, factors, bias=False)
        self.item_layer = nn.Linear(width, factors, bias=False)
        init = choice(config, "init", INITS)
        for parameter in (self.user_input, self.item_input):
            nn.init.normal_(parameter, 0.0, 0.01)
        for layer in (self.user_layer, self.item_layer):
            initialise(layer.weight, init)

    def encode_users(self, user: Tensor | None = None, n_earlier: Tensor | None = None) -> Tensor:
        """p_i of users (all if None), [n, factors]; the time plays no part."""
        x = self.user_input if user is None else F.embedding(user, self.user_input)
        return self.user_layer(x)  # Eq. (5), line 1

    def encode_items(self, item: Tensor | None = None) -> Tensor:
        """q_j of items (all if None), [n, factors]."""
        x = self.item_input if item is None else F.embedding(item, self.item_input)
        return self.item_layer(x)  # Eq. (5), line 1

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Similarity of pairs, int64 [n], int64 [k * n] -> [k * n]; pair j is of user j % n."""
        p = self.normalise(self.encode_users(user))
        q = self.normalise(self.encode_items(item))
        return (p * q.view(-1, *p.shape)).sum(dim=-1).view(-1)  # Eq. (8)

    def loss(
        self,
        user: Tensor,
        item: Tensor,
        rating: Tensor,
        label: Tensor,
        n_earlier: Tensor | None = None,
    ) -> Tensor:
        """Mean loss of a batch of training instances; arguments as in `DMF.loss`."""
        return pair_loss(self, self(user, item), rating * label, label)
