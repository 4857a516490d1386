"""Deep Matrix Factorization, Xue et al., IJCAI 2017, from Sec. 2 to Algorithm 1 in their order.

Symbols are the paper's: R the ratings, Y the interaction matrix, p_i and q_j the latent vectors of
user i and item j. What the paper does not have is marked "ours" and off by default.

Beside this file are `losses` (Eq. (10) to (13) as functions), `towers` (what LFM shares and RecBole
asks for), `batch_encoding` (the similarities of a batch in few operations), `one_pass` (a small
batch's loss and gradients in fewer still), `recent_items`, `preceding_items` and `popularity`
(ours), and `training.algorithm1`, the loop of Algorithm 1 around `DMF.loss`.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recbole_dmf.data.history import N_EARLIER
from recbole_dmf.data.interactions import (
    MATRICES,
    SparseInput,
    WholeRows,
    train_matrix,
    with_ones,
)
from recbole_dmf.errors import UserError
from recbole_dmf.models.batch_encoding import batch_similarities, batch_softmax
from recbole_dmf.models.dropout import dropout
from recbole_dmf.models.gradients import unit_vectors
from recbole_dmf.models.losses import (
    bpr_loss,
    clamp_score,
    cross_entropy,
    cross_entropy_with_logits,
    normalised_target,
    squared_loss,
)
from recbole_dmf.models.popularity import Popularity
from recbole_dmf.models.preceding_items import preceding_layer
from recbole_dmf.models.recent_items import RecentItems
from recbole_dmf.models.sequential import history_of
from recbole_dmf.models.towers import INITS, TwoTowerModel, initialise
from recbole_dmf.options import Config, choice, number

# ---- Sec. 2: the interaction matrix -------------------------------------------------------------


def user_item_matrix(ratings: sp.csr_matrix, kind: str) -> sp.csr_matrix:
    """Y from R, [n_users, n_items]; what is not stored is 0, the paper's "unknown".

    Args:
        ratings: R, float32 CSR, an entry for each training interaction.
        kind: "binary" or "rating".
    """
    if kind == "binary":
        return with_ones(ratings)  # Eq. (1)
    return ratings  # Eq. (2)


# ---- Sec. 3.2: from rows and columns of Y to latent vectors -------------------------------------

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "linear": nn.Identity(),
}  # Eq. (6)


class Tower(nn.Module):
    """One side's network: from rows of Y to latent vectors.

    Args:
        n_columns: length of an input row.
        layers: widths of the N weight matrices, the last one the factors.
        first_layer_activation, output_activation: "relu" or "linear".
        init: "normal" (mean 0, standard deviation 0.01) or "xavier".
        first_layer_bias: whether the first layer adds a vector, which Eq. (5) does not.
        dropout_prob: of the first layer's output in training; the paper has none.
    """

    bias: nn.Parameter | None
    hidden: Any  # nn.ModuleList of nn.Linear

    def __init__(
        self,
        n_columns: int,
        layers: list[int],
        first_layer_activation: str,
        output_activation: str,
        init: str,
        first_layer_bias: bool = False,
        dropout_prob: float = 0.0,
    ):
        super().__init__()
        self.first_activation = ACTIVATIONS[first_layer_activation]
        self.output_activation = ACTIVATIONS[output_activation]
        self.dropout_prob = dropout_prob
        self.weight = nn.Parameter(torch.empty(n_columns, layers[0]))
        bias = nn.Parameter(torch.empty(layers[0])) if first_layer_bias else None
        self.register_parameter("bias", bias)
        self.hidden = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(layers))
        for parameter in self.parameters():
            initialise(parameter, init)

    def first_layer(self, rows: SparseInput, ids: Tensor | None = None) -> Tensor:
        """l_1 = W_1 x for the inputs `ids` (all if None), [n, layers[0]]."""
        return rows.matmul(self.weight, ids)  # Eq. (5), line 1

    def upper_layers(self, l_1: Tensor) -> Tensor:
        """h from l_1, [n, layers[0]] -> [n, factors]."""
        h = self.first_activation(l_1 if self.bias is None else l_1 + self.bias)
        if self.training:
            h = dropout(h, self.dropout_prob)  # ours
        for layer in self.hidden[:-1]:
            h = torch.relu(layer(h))  # Eq. (5), line 2
        if len(self.hidden):
            h = self.output_activation(self.hidden[-1](h))  # Eq. (5), line 3
        return h

    def without_target(self, l_1: Tensor, target: Tensor, value: Tensor) -> Tensor:
        """Ours: `l_1` as if the input's entry `target` (of the given value) were zero.

        The first layer is linear, so (x - x_t e_t) W_1 = x W_1 - x_t W_1[t].
        Shapes [n, layers[0]], [n], [n].
        """
        return l_1 - value[:, None] * self.weight.index_select(0, target)


def cosine(p: Tensor, q: Tensor) -> Tensor:
    """Cosine of each row of p and its row of q, [n, factors] twice -> [n].

    It is 0 where a vector is zero (a dead ReLU tower, an item without training interactions).
    """
    return (unit_vectors(p) * unit_vectors(q)).sum(dim=-1)  # Eq. (8)


# ---- Sec. 3.3 and 3.4: the loss -----------------------------------------------------------------


def pair_target(model: TwoTowerModel, rating: Tensor, label: Tensor) -> Tensor:
    """What a pair's predicted score is to be, float [batch]; arguments as of `pair_loss`."""
    return label if model.loss_type == "ce" else normalised_target(rating, model.max_rating)


def pair_loss(
    model: TwoTowerModel,
    similarity: Tensor,
    rating: Tensor,
    label: Tensor,
    beside: Tensor | float = 0.0,
) -> Tensor:
    """Mean loss of pairs with the given similarity, shape [].

    Args:
        model: whose options `loss_type`, `similarity`, `mu` and `max_rating` say which loss.
        similarity: float [batch], for `cosine` the predicted score of Eq. (8).
        rating: float [batch], R_ij of positives, 0 for negatives.
        label: float [batch], as in `DMF.loss`.
        beside: float [batch], added to the logit, not to a cosine; ours.
    """
    if model.loss_type == "bpr":  # ours; the paper leaves it to future work
        score = (model.logit(similarity) + beside).view(-1, int(label.sum()))
        return bpr_loss(score[0], score[1:].T)
    y = pair_target(model, rating, label)
    if model.similarity != "cosine":  # ours: a sigmoid makes the probability
        logit = model.logit(similarity) + beside
        if model.loss_type == "square":
            return squared_loss(logit.sigmoid(), y)
        return cross_entropy_with_logits(logit, y)
    if model.loss_type == "square":
        return squared_loss(similarity, y)  # Eq. (10)
    y_hat = clamp_score(similarity, model.mu)  # Eq. (13)
    return cross_entropy(y_hat, y)  # Eq. (11) for ce, Eq. (12) for nce


# ---- The model and Algorithm 1 ------------------------------------------------------------------


class DMF(RecentItems):
    """DMF over RecBole's data set and sampler abstractions.

    Algorithm 1: lines 2 and 3 are `__init__`, line 10 `encode_users` and `encode_items`, line 11
    `forward`, lines 10 to 12 for a batch `loss`. Lines 4 to 9 and 13 are in `training.algorithm1`.

    The options and their sources are in `properties/model/DMF.yaml`.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions; Y holds these alone.

    Raises:
        UserError: an option has a value that DMF cannot work with.
    """

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        self.target_masking = config["target_masking"]
        if self.similarity == "cosine" and (config["popularity"] or self.loss_type == "softmax"):
            raise UserError(
                "popularity and the loss softmax need a logit, which similarity cosine does not "
                "have; set similarity to scaled_cosine or dot."
            )
        kind = choice(config, "interaction_matrix", MATRICES)
        self.uses_ratings = kind == "rating"
        user_layers, item_layers = _layers(config, "user_layers"), _layers(config, "item_layers")
        if user_layers[-1] != item_layers[-1]:
            raise UserError(
                f"user_layers {user_layers} and item_layers {item_layers} end in different widths; "
                "the cosine needs the same number of factors on both sides: "
                "make the last numbers equal."
            )

        y = user_item_matrix(train_matrix(dataset), kind)  # Alg. 1, line 3
        by_user, by_item = (WholeRows.of(m, self.device) for m in (y, y.T.tocsr()))
        self.input_of_users = SparseInput(by_user, by_item)  # Y_i*
        self.input_of_items = SparseInput(by_item, by_user)  # Y_*j

        rest = (
            choice(config, "first_layer_activation", ACTIVATIONS),
            choice(config, "output_activation", ACTIVATIONS),
            choice(config, "init", INITS),
            bool(config["first_layer_bias"]),
            number(config, "dropout_prob", 0, 0.99),
        )
        self.user_tower = Tower(self.n_items, user_layers, *rest)  # W_U, Alg. 1, line 2
        self.item_tower = Tower(self.n_users, item_layers, *rest)  # W_V, Alg. 1, line 2
        self.build_recent_layer(config, dataset, user_layers[0])  # ours
        self.preceding = preceding_layer(config, self, item_layers[0])  # ours
        count = torch.from_numpy(y.getnnz(axis=0)).float()
        self.popularity = Popularity(count) if config["popularity"] else None  # ours

    def encode_users(self, user: Tensor | None = None, n_earlier: Tensor | None = None) -> Tensor:
        """p_i of users (all if None), [n, factors].

        Args:
            user: int64 [n].
            n_earlier: int64 [n], how many of the user's items are known by then, for
                `recent_items`; None: all.
        """
        l_1 = self.user_tower.first_layer(self.input_of_users, user)
        if self.recent_items:  # ours
            l_1 = l_1 + self.recent_layer(user, n_earlier)
        return self.user_tower.upper_layers(l_1)  # Eq. (7); Alg. 1, line 10

    def encode_items(self, item: Tensor | None = None) -> Tensor:
        """q_j of items (all if None), [n, factors]."""
        l_1 = self.first_layer_of_items(item)
        return self.item_tower.upper_layers(l_1)  # Eq. (7); Alg. 1, line 10

    def first_layer_of_items(self, item: Tensor | None = None) -> Tensor:
        """l_1 of items (all if None), [n, item_layers[0]]."""
        l_1 = self.item_tower.first_layer(self.input_of_items, item)
        return l_1 if self.preceding is None else l_1 + self.preceding(item)  # ours

    def forward(self, user: Tensor, item: Tensor, n_earlier: Tensor | None = None) -> Tensor:
        """Similarity of pairs, int64 [n], [n] -> [n]; the inner product for `similarity: dot`.

        Without `popularity`, which stands beside it in the score.
        """
        p, q = self.encode_users(user, n_earlier), self.encode_items(item)
        if self.similarity == "dot":  # RecBole's form
            return (p * q).sum(dim=-1)
        return cosine(p, q)  # Eq. (8); Alg. 1, line 11

    def loss(
        self,
        user: Tensor,
        item: Tensor,
        rating: Tensor,
        label: Tensor,
        n_earlier: Tensor | None = None,
    ) -> Tensor:
        """Mean loss of a batch of training instances, shape [] (Algorithm 1, lines 10 to 12).

        Args:
            user: int64 [n]; instance j is of user j % n.
            item: int64 [batch], batch = k n.
            rating: float [batch], R_ij of positives; anything for negatives.
            label: float [batch], 1 for positives, 0 for negatives. For `softmax` and `bpr` the
                positives come first; for `bpr` negative k of positive n is at
                n + (k + 1) * n_positives, as in RecBole's point-wise batches.
            n_earlier: int64 as `user`, as in `encode_users`.

        Raises:
            UserError: `recent_items` is used and `n_earlier` missing.
        """
        self.check_order(n_earlier)
        rating = rating * label
        value = rating if self.uses_ratings else label  # Y_ij
        masked = value if self.target_masking else None  # ours
        if self.loss_type == "softmax":  # ours
            return batch_softmax(self, user, item, label, masked, n_earlier)
        similarity = batch_similarities(self, user, item, masked, n_earlier)  # as `forward`
        if self.popularity is None:
            return pair_loss(self, similarity, rating, label)
        beside = self.popularity(item, label if self.target_masking else None)  # ours
        return pair_loss(self, similarity, rating, label, beside)

    def as_user_vectors(self, h: Tensor) -> Tensor:
        """As of `TwoTowerModel`; with `popularity` one more dimension, which is 1."""
        p = super().as_user_vectors(h)
        return p if self.popularity is None else torch.cat([p, torch.ones_like(p[:, :1])], dim=1)

    def as_item_vectors(self, h: Tensor, count: Tensor | None = None) -> Tensor:
        """As of `TwoTowerModel`; with `popularity` one more dimension, the term by the scale.

        Args:
            h: [n, factors], of all items where `count` is None.
            count: float [n], interactions of items that were not in training.
        """
        q = super().as_item_vectors(h)
        if self.popularity is None:
            return q
        beside = self.popularity.of_count(self.popularity.count if count is None else count)
        return torch.cat([q, (beside / self.scale())[:, None]], dim=1)

    def user_vectors(self, interaction) -> Tensor:
        """Normalised vectors of a batch's users, at the time that it names, [batch, factors]."""
        if not self.recent_items or N_EARLIER not in interaction:
            return super().user_vectors(interaction)
        with torch.no_grad():
            p = self.encode_users(interaction[self.USER_ID], interaction[N_EARLIER])
            return self.as_user_vectors(p)

    def load_other_parameter(self, para: dict[str, Any] | None) -> None:
        """As RecBole's; the items' rows of what came before them follow the loaded history."""
        super().load_other_parameter(para)
        if self.preceding is not None:
            self.preceding.read(history_of(self))

    def double(self):
        """The same model in float64, inputs included."""
        self.input_of_users.cast(torch.float64)  # and those of items, its transpose
        if self.preceding is not None:
            self.preceding.double()
        return super().double()


def _layers(config: Config, name: str) -> list[int]:
    layers = config[name]
    if (
        not isinstance(layers, list)
        or not layers
        or any(not isinstance(width, int) or width < 1 for width in layers)
    ):
        raise UserError(
            f"{name} is {layers!r}; give the widths of the tower's layers, the factors last, "
            "for example [64, 64]."
        )
    return layers
