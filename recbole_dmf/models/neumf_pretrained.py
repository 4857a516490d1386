"""NeuMF with pretraining: He et al., "Neural Collaborative Filtering", WWW 2017.

Equation and section numbers are that paper's. GMF and MLP are trained alone, then joined and
trained on; `training.neumf.NeuMFpTrainer` runs all of it in one `fit`.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_dmf.errors import UserError
from recbole_dmf.options import Config

STAGES = ("gmf", "mlp", "joined", "fine_tuned")
_FLOATS_PER_CHUNK = 2_000_000  # of one layer of the MLP; small enough for the processor's cache


class GMF(nn.Module):
    """Generalised matrix factorisation: the element-wise product of two vectors, Eq. (8)."""

    def __init__(self, n_users: int, n_items: int, factors: int):
        super().__init__()
        self.user = nn.Parameter(torch.empty(n_users, factors))
        self.item = nn.Parameter(torch.empty(n_items, factors))
        self.output = nn.Linear(factors, 1)
        _initialise(self)

    def features(self, user: Tensor, item: Tensor) -> Tensor:
        """Last layer of pairs, [batch, factors]."""
        return F.embedding(user, self.user) * F.embedding(item, self.item)  # Eq. (8)

    def all_pairs(self, user: Tensor, weight: Tensor) -> Tensor:
        """`features @ weight` of each user with every item, [n, n_items]."""
        return (self.user[user] * weight) @ self.item.T


class MLP(nn.Module):
    """ReLU layers over the concatenation of a user's and an item's vector, Eq. (10).

    Args:
        n_users, n_items: with RecBole's padding.
        layers: widths; the first is that of the concatenation.
    """

    def __init__(self, n_users: int, n_items: int, layers: list[int]):
        super().__init__()
        self.user = nn.Parameter(torch.empty(n_users, layers[0] // 2))
        self.item = nn.Parameter(torch.empty(n_items, layers[0] // 2))
        self.layers = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(layers))
        self.output = nn.Linear(layers[-1], 1)
        _initialise(self)

    def features(self, user: Tensor, item: Tensor) -> Tensor:
        """Last layer of pairs, [batch, layers[-1]]."""
        h = torch.cat([F.embedding(user, self.user), F.embedding(item, self.item)], dim=-1)
        for layer in self.layers:
            h = torch.relu(layer(h))  # Eq. (10)
        return h

    def all_pairs(self, user: Tensor, weight: Tensor) -> Tensor:
        """`features @ weight` of each user with every item, [n, n_items].

        The first layer is linear before its ReLU, so its user part and its item part are computed
        once per user and item; a pair costs an addition there, not a matrix product.
        """
        weight_1, bias_1 = self.layers[0].parameters()
        of_users, of_items = weight_1.split(self.user.shape[1], dim=1)
        from_user = self.user[user] @ of_users.T + bias_1
        from_item = self.item @ of_items.T
        score = torch.empty(len(user), len(from_item), device=user.device, dtype=from_item.dtype)
        size = max(1, _FLOATS_PER_CHUNK // from_item.numel())
        for start in range(0, len(user), size):
            part = from_user[start : start + size]
            h = (part[:, None] + from_item).relu_()
            for layer in self.layers[1:]:
                h = layer(h).relu_()
            score[start : start + size] = h @ weight
        return score


def _initialise(module: GMF | MLP) -> None:
    """As the authors' code: N(0, 0.01^2) vectors, Glorot layers, LeCun uniform output."""
    for vectors in (module.user, module.item):
        nn.init.normal_(vectors, 0.0, 0.01)
    for layer in getattr(module, "layers", ()):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    bound = (3.0 / module.output.in_features) ** 0.5
    nn.init.uniform_(module.output.weight, -bound, bound)
    nn.init.zeros_(module.output.bias)


class NeuMFp(GeneralRecommender):
    """GMF and MLP with vectors of their own, joined by one output layer, Eq. (12).

    The int64 buffer `stage` says which part gives the scores: an index into `STAGES`. Without
    `NeuMFpTrainer` it is the whole network, that is NeuMF without pretraining.

    The options and their sources are in `properties/model/NeuMFp.yaml`.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions.

    Attributes:
        stages: what each stage of the training came to, once it has ended; see `NeuMFpTrainer`.

    Raises:
        UserError: `mlp_layers` or `pretrain_weight` cannot be worked with.
    """

    input_type = InputType.POINTWISE

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        self.LABEL = config["LABEL_FIELD"]
        self.RATING = config["RATING_FIELD"]
        layers, factors = config["mlp_layers"], config["embedding_size"]
        if (
            not isinstance(layers, list)
            or len(layers) < 2
            or any(not isinstance(width, int) or width < 1 for width in layers)
            or layers[0] % 2
        ):
            raise UserError(
                f"mlp_layers is {layers!r}; give at least two widths, the first one even (a user's "
                "and an item's vector side by side), for example [64, 32, 16, 8]."
            )
        self.pretrain_weight = config["pretrain_weight"]
        if not 0 <= self.pretrain_weight <= 1:
            raise UserError(f"pretrain_weight is {self.pretrain_weight}; it lies between 0 and 1.")
        self.gmf = GMF(self.n_users, self.n_items, factors)
        self.mlp = MLP(self.n_users, self.n_items, layers)
        self.output = nn.Linear(factors + layers[-1], 1)
        self.register_buffer("stage", torch.tensor(len(STAGES) - 1))
        self.stages: list[dict[str, Any]] = []
        self.join()

    def begin(self, stage: str) -> None:
        """Train and score one stage's part of the network from now on."""
        self.stage.fill_(STAGES.index(stage))
        used = set(self.parameters_of(stage))
        for parameter in self.parameters():
            parameter.requires_grad_(parameter in used)
            parameter.grad = None

    def parameters_of(self, stage: str) -> list[nn.Parameter]:
        """Parameters of the part of the network that a stage scores with."""
        if stage in ("gmf", "mlp"):
            return list(getattr(self, stage).parameters())
        alone = {*self.gmf.output.parameters(), *self.mlp.output.parameters()}
        return [parameter for parameter in self.parameters() if parameter not in alone]

    @torch.no_grad()
    def join(self) -> None:
        """Set the common output layer to the weighted outputs of the two parts."""
        a = self.pretrain_weight
        gmf, mlp = self.gmf.output, self.mlp.output
        self.output.weight.copy_(torch.cat([a * gmf.weight, (1 - a) * mlp.weight], 1))  # Eq. (13)
        self.output.bias.copy_(a * gmf.bias + (1 - a) * mlp.bias)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Logits of pairs by the current stage's part, int64 [batch], [batch] -> [batch]."""
        stage = STAGES[int(self.stage)]
        if stage in ("gmf", "mlp"):
            part = getattr(self, stage)
            return part.output(part.features(user, item)).squeeze(-1)  # Eq. (9), (10)
        features = torch.cat([self.gmf.features(user, item), self.mlp.features(user, item)], -1)
        return self.output(features).squeeze(-1)  # Eq. (12)

    def loss(self, user: Tensor, item: Tensor, rating: Tensor, label: Tensor) -> Tensor:
        """Mean log loss, Eq. (7).

        Args:
            user: int64 [n]; instance j is of user j % n.
            item: int64 [batch].
            rating: not used; the targets are binary.
            label: float [batch], 1 for positives, 0 for negatives.
        """
        user = user.repeat(len(item) // len(user))
        return F.binary_cross_entropy_with_logits(self(user, item), label)  # Eq. (7)

    def calculate_loss(self, interaction) -> Tensor:
        """Mean log loss of one of RecBole's point-wise batches, shape []."""
        label = interaction[self.LABEL]
        return self.loss(interaction[self.USER_ID], interaction[self.ITEM_ID], label, label)

    @torch.no_grad()
    def predict(self, interaction) -> Tensor:
        """Logit of each pair of a batch, [batch]."""
        return self(interaction[self.USER_ID], interaction[self.ITEM_ID])

    @torch.no_grad()
    def full_sort_predict(self, interaction) -> Tensor:
        """Logit of every item for each user of a batch, [batch * n_items]."""
        user = interaction[self.USER_ID]
        stage = STAGES[int(self.stage)]
        if stage in ("gmf", "mlp"):
            part = getattr(self, stage)
            score = part.all_pairs(user, part.output.weight[0]) + part.output.bias
        else:
            of_gmf, of_mlp = self.output.weight[0].split(
                [self.gmf.user.shape[1], self.mlp.output.in_features]
            )
            score = self.mlp.all_pairs(user, of_mlp)
            score += self.gmf.all_pairs(user, of_gmf) + self.output.bias
        return score.view(-1)
