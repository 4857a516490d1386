"""Deep Matrix Factorization, Xue et al., IJCAI 2017, in the paper's order."""

from collections.abc import Callable
from itertools import pairwise

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_dmf.data.history import N_EARLIER, History
from recbole_dmf.data.interactions import (
    MATRICES,
    Rows,
    SparseInput,
    distinct,
    interaction_matrix,
    pair_products,
    sparse_product,
)
from recbole_dmf.errors import UserError
from recbole_dmf.models.losses import (
    LOSSES,
    bpr_loss,
    clamp_score,
    cross_entropy,
    cross_entropy_with_logits,
    normalised_target,
    squared_loss,
)
from recbole_dmf.options import choice

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "linear": nn.Identity(),
}  # Eq. (6)
SIMILARITIES = ("cosine", "scaled_cosine", "dot")
INITS = ("normal", "xavier")
NORM_EPSILON = 1e-12
SCALE_START, OFFSET_START = 10.0, -5.0


def initialise(parameter: nn.Parameter, init: str) -> None:
    """Draw a parameter's start, as `init` of the options says."""
    if init == "normal":
        nn.init.normal_(parameter, 0.0, 0.01)  # Sec. 4.1
    elif parameter.dim() > 1:
        nn.init.xavier_uniform_(parameter)
    else:
        nn.init.zeros_(parameter)


class Tower(nn.Module):
    """One side's network: from rows of Y to latent vectors.

    Args:
        n_columns: length of an input row.
        layers: widths of the N weight matrices, the last one the factors.
        first_layer_activation, output_activation: "relu" or "linear".
        init: "normal" (mean 0, standard deviation 0.01) or "xavier".
        first_layer_bias: whether the first layer adds a vector, which Eq. (5) does not.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        n_columns: int,
        layers: list[int],
        first_layer_activation: str,
        output_activation: str,
        init: str,
        first_layer_bias: bool = False,
    ):
        super().__init__()
        self.first_activation = ACTIVATIONS[first_layer_activation]
        self.output_activation = ACTIVATIONS[output_activation]
        self.weight = nn.Parameter(torch.empty(n_columns, layers[0]))
        bias = nn.Parameter(torch.empty(layers[0])) if first_layer_bias else None
        self.register_parameter("bias", bias)
        self.hidden = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(layers))
        for parameter in self.parameters():
            initialise(parameter, init)

    def first_layer(self, rows: SparseInput, ids: Tensor | None = None) -> Tensor:
        """l_1 = W_1 x for the inputs `ids`, [n, layers[0]]."""
        return rows.matmul(self.weight, ids)  # Eq. (5), line 1

    def without_target(self, l_1: Tensor, target: Tensor, value: Tensor) -> Tensor:
        """`l_1` as if the input's entry `target` (of the given value) were zero.

        The first layer is linear, so (x - x_t e_t) W_1 = x W_1 - x_t W_1[t].
        Shapes [n, layers[0]], [n], [n].
        """
        return l_1 - value[:, None] * self.weight.index_select(0, target)

    def upper_layers(self, l_1: Tensor) -> Tensor:
        """h from l_1, [n, layers[0]] -> [n, factors]."""
        h = self.first_activation(l_1 if self.bias is None else l_1 + self.bias)
        for layer in self.hidden[:-1]:
            h = torch.relu(layer(h))  # Eq. (5), line 2
        if len(self.hidden):
            h = self.output_activation(self.hidden[-1](h))  # Eq. (5), line 3
        return h


class _UnitVectors(torch.autograd.Function):
    """`unit_vectors`, with a gradient of a third of autograd's operations."""

    @staticmethod
    def forward(ctx, h):
        norm = torch.linalg.vector_norm(h, dim=-1, keepdim=True).clamp_(min=NORM_EPSILON)
        unit = h / norm
        ctx.save_for_backward(unit, norm)
        return unit

    @staticmethod
    def backward(ctx, grad):
        unit, norm = ctx.saved_tensors
        along = (grad * unit).sum(dim=-1, keepdim=True)
        return torch.addcmul(grad, unit, along, value=-1).div_(norm)


def unit_vectors(h: Tensor) -> Tensor:
    """h / ||h||, and 0 for h = 0 (a dead ReLU tower), [n, factors]."""
    return _UnitVectors.apply(h)


class TwoTowerModel(GeneralRecommender):
    """What DMF and LFM share: the similarity of two latent vectors, the losses and the scores.

    A subclass builds its two sides in `__init__` and defines `encode_users`, `encode_items` (all
    of them, normalised, where no ids are given) and `forward`.

    Raises:
        UserError: an option has a value that cannot be worked with.
    """

    input_type = InputType.POINTWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.LABEL = config["LABEL_FIELD"]
        self.RATING = config["RATING_FIELD"]
        self.loss_type = choice(config, "loss_type", LOSSES)
        self.similarity = choice(config, "similarity", SIMILARITIES)
        self.mu = config["mu"]
        if not 0 < self.mu < 0.5:
            raise UserError(f"mu is {self.mu}; it must lie between 0 and 0.5 (the paper: 1e-6).")
        feat = dataset.inter_feat
        rating = feat[self.RATING].numpy() if self.RATING in feat.columns else None
        self.max_rating = float(config["max_rating"] or 1.0) if rating is not None else 1.0
        if rating is not None and len(rating) and rating.max() > self.max_rating:
            raise UserError(
                f"max_rating is {self.max_rating:g} but the data hold a rating of "
                f"{rating.max():g}; correct `max_rating` or the ratings."
            )
        if self.similarity == "scaled_cosine":
            self.log_scale = nn.Parameter(torch.tensor(SCALE_START).log())
            self.offset = nn.Parameter(torch.tensor(OFFSET_START))
        self._vectors: tuple[Tensor, Tensor] | None = None

    def train(self, mode: bool = True):
        self._vectors = None
        return super().train(mode)

    def load_state_dict(self, *args, **kwargs):
        self._vectors = None
        return super().load_state_dict(*args, **kwargs)

    def normalise(self, h: Tensor) -> Tensor:
        """Latent vectors of which the inner product is the similarity, [n, factors]."""
        return h if self.similarity == "dot" else unit_vectors(h)

    def logit(self, similarity: Tensor) -> Tensor:
        """What a sigmoid turns into a probability, for `scaled_cosine` and `dot`. [batch]."""
        if self.similarity == "scaled_cosine":
            return self.log_scale.exp() * similarity + self.offset
        return similarity

    def pair_loss(self, similarity: Tensor, rating: Tensor, label: Tensor) -> Tensor:
        """Mean loss of pairs with the given similarity, shape [] (line 12 of Algorithm 1).

        Args:
            similarity: float [batch].
            rating: float [batch], R_ij of positives, 0 for negatives.
            label: float [batch], as in `loss`.
        """
        if self.loss_type == "bpr":
            score = self.logit(similarity).view(-1, int(label.sum()))
            return bpr_loss(score[0], score[1:].T)
        y = label if self.loss_type == "ce" else normalised_target(rating, self.max_rating)
        if self.loss_type == "square":
            y_hat = similarity if self.similarity == "cosine" else self.logit(similarity).sigmoid()
            return squared_loss(y_hat, y)
        if self.similarity == "cosine":
            return cross_entropy(clamp_score(similarity, self.mu), y)  # Eq. (12), (13)
        return cross_entropy_with_logits(self.logit(similarity), y)

    def calculate_loss(self, interaction) -> Tensor:
        """Mean loss of one of RecBole's point-wise batches, shape []."""
        label = interaction[self.LABEL]
        rating = interaction[self.RATING] if self.RATING in interaction.columns else label
        pairs = interaction[self.USER_ID], interaction[self.ITEM_ID], rating, label
        if N_EARLIER in interaction:
            return self.loss(*pairs, interaction[N_EARLIER])
        return self.loss(*pairs)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Normalised vectors of all users and all items, encoded once until training goes on.

        Returns:
            ([n_users, factors], [n_items, factors]); their inner product is the score.
        """
        if self._vectors is None or self.training:
            with torch.no_grad():
                self._vectors = self.encode_users(), self.encode_items()
        return self._vectors

    def user_vectors(self, interaction) -> Tensor:
        """Normalised vectors of the users of a batch, [batch, factors]."""
        return self.vectors()[0][interaction[self.USER_ID]]

    def predict(self, interaction) -> Tensor:
        """Similarity of each pair of a batch, shape [batch]."""
        q = self.vectors()[1][interaction[self.ITEM_ID]]
        return (self.user_vectors(interaction) * q).sum(dim=-1)  # Eq. (8)

    def full_sort_predict(self, interaction) -> Tensor:
        """Similarity of each user of a batch with every item, shape [batch * n_items]."""
        return (self.user_vectors(interaction) @ self.vectors()[1].T).view(-1)  # Eq. (8)


class DMF(TwoTowerModel):
    """DMF over RecBole's data set and sampler abstractions.

    The options and their sources are in `properties/model/DMF.yaml`.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions; Y holds these alone.

    Raises:
        UserError: an option has a value that DMF cannot work with.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.target_masking = config["target_masking"]
        self.uses_ratings = choice(config, "interaction_matrix", MATRICES) == "rating"
        user_layers, item_layers = _layers(config, "user_layers"), _layers(config, "item_layers")
        if user_layers[-1] != item_layers[-1]:
            raise UserError(
                f"user_layers {user_layers} and item_layers {item_layers} end in different widths; "
                "the cosine needs the same number of factors on both sides: "
                "make the last numbers equal."
            )

        feat = dataset.inter_feat
        user, item = feat[self.USER_ID].numpy(), feat[self.ITEM_ID].numpy()
        rating = feat[self.RATING].numpy() if self.RATING in feat.columns else None
        y = interaction_matrix(
            user, item, rating if self.uses_ratings else None, (self.n_users, self.n_items)
        )  # Eq. (1), (2)
        by_user, by_item = Rows.of(y, self.device), Rows.of(y.T.tocsr(), self.device)
        self.input_of_users = SparseInput(by_user, by_item)
        self.input_of_items = SparseInput(by_item, by_user)

        activations = (
            choice(config, "first_layer_activation", ACTIVATIONS),
            choice(config, "output_activation", ACTIVATIONS),
        )
        rest = *activations, choice(config, "init", INITS), bool(config["first_layer_bias"])
        self.user_tower = Tower(self.n_items, user_layers, *rest)
        self.item_tower = Tower(self.n_users, item_layers, *rest)

        self.recent_items, self.recent_decay = config["recent_items"] or 0, config["recent_decay"]
        if self.recent_items:
            self._read_history(config, feat)

    def _read_history(self, config, feat) -> None:
        """Sec. 5: auxiliary data. The latest items before an interaction are an input beside Y."""
        if self.recent_items < 0:
            raise UserError(
                f"recent_items is {self.recent_items}; give a number of items, or 0 for none."
            )
        if not 0 < self.recent_decay <= 1:
            raise UserError(f"recent_decay is {self.recent_decay}; it must lie in (0, 1].")
        self.recent_weight = nn.Parameter(torch.empty_like(self.user_tower.weight))
        initialise(self.recent_weight, config["init"])
        user, item = feat[self.USER_ID], feat[self.ITEM_ID]
        n_earlier = feat[N_EARLIER] if N_EARLIER in feat.columns else user.new_empty(0)
        history = History.of(user, item, n_earlier, self.n_users, self.n_items)
        self.history_start = history.start.to(self.device)
        self.history_item = history.item.to(self.device)
        self.other_parameter_name = ["history_start", "history_item"]  # kept in checkpoints

    def double(self):
        """The same model in float64, inputs included."""
        for rows in (self.input_of_users.rows, self.input_of_items.rows):
            rows.value = rows.value.double()
        return super().double()

    def encode_users(self, user: Tensor | None = None, n_earlier: Tensor | None = None) -> Tensor:
        """p_i of users (all if None), normalised, [n, factors]. Eq. (7).

        Args:
            user: int64 [n].
            n_earlier: int64 [n], how many of the user's items are known by then; None: all.
        """
        l_1 = self.user_tower.first_layer(self.input_of_users, user)
        if self.recent_items:
            l_1 = l_1 + sparse_product(self.latest(user, n_earlier), self.recent_weight)
        return self.normalise(self.user_tower.upper_layers(l_1))

    def encode_items(self, item: Tensor | None = None) -> Tensor:
        """q_j of items (all if None), normalised, [n, factors]. Eq. (7)."""
        l_1 = self.item_tower.first_layer(self.input_of_items, item)
        return self.normalise(self.item_tower.upper_layers(l_1))

    def user_vectors(self, interaction) -> Tensor:
        """Normalised vectors of a batch's users, at the time that it names, [batch, factors]."""
        if not self.recent_items or N_EARLIER not in interaction:
            return super().user_vectors(interaction)
        with torch.no_grad():
            return self.encode_users(interaction[self.USER_ID], interaction[N_EARLIER])

    def latest(
        self,
        user: Tensor | None = None,
        n_earlier: Tensor | None = None,
        history: History | None = None,
    ) -> Rows:
        """The input rows of the latest items, [n, n_items].

        Args:
            user, n_earlier: as in `encode_users`.
            history: of other users than those of the training; None: of these.
        """
        if history is None:
            history = History(self.history_start, self.history_item, self.n_items)
        rows = history.latest(user, n_earlier, self.recent_items, self.recent_decay)
        rows.value = rows.value.to(self.recent_weight.dtype)
        return rows

    def _vectors_of(
        self, tower: Tower, l_1: Tensor, place: Tensor | None, target: Tensor, value: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Normalised vectors for a batch; where `value` is not 0, without the entry `target`.

        A repeated input goes through the tower once, each masked pair once more.

        Args:
            l_1: [n, width], of the inputs.
            place: int64 [batch], each entry's input; None: its own.
            target, value: [batch].

        Returns:
            [n + masked, factors], and the places among them.
        """
        if value is not None:
            masked = value.nonzero().squeeze(1)
            place = torch.arange(len(l_1), device=l_1.device) if place is None else place.clone()
            base = l_1.index_select(0, place[masked])
            corrected = tower.without_target(base, target[masked], value[masked])
            place[masked] = torch.arange(len(l_1), len(l_1) + len(masked), device=l_1.device)
            l_1 = torch.cat([l_1, corrected])
        return self.normalise(tower.upper_layers(l_1)), place

    def forward(
        self,
        user: Tensor,
        item: Tensor,
        value: Tensor | None = None,
        n_earlier: Tensor | None = None,
    ) -> Tensor:
        """Similarity of pairs, [k * n]: the cosine of Eq. (8), or the inner product for `dot`.

        Args:
            user: int64 [n]; pair j is of user j % n.
            item: int64 [k * n].
            value: float [k * n], the pairs' entries of Y (0 for negatives), which
                `target_masking` takes out of the input; None: nothing is taken out.
            n_earlier: int64 [n], as in `encode_users`; needed with `recent_items`, since all of a
                user's items hold the target.

        Raises:
            UserError: it is needed and missing.
        """
        if self.recent_items and n_earlier is None:
            raise UserError(
                f"recent_items needs the column {N_EARLIER}, which only our data set class gives "
                "the interactions; set recent_items to 0."
            )
        encoded, p_of = distinct(user, self.n_users)
        l_1 = self.user_tower.first_layer(self.input_of_users, encoded)
        if self.recent_items:  # an input of its own for each moment
            l_1 = l_1 if p_of is None else l_1.index_select(0, p_of)
            recent = sparse_product(self.latest(user, n_earlier), self.recent_weight)
            l_1, p_of = l_1 + recent, None
        if value is not None:
            p_of = torch.arange(len(user), device=user.device) if p_of is None else p_of
            repeats = len(item) // len(user)
            p_of, user = p_of.repeat(repeats), user.repeat(repeats)
        p, p_of = self._vectors_of(self.user_tower, l_1, p_of, item, value)
        encoded, q_of = distinct(item, self.n_items)
        l_1 = self.item_tower.first_layer(self.input_of_items, encoded)
        q, q_of = self._vectors_of(self.item_tower, l_1, q_of, user, value)
        return pair_products(p, q, p_of, q_of)  # Eq. (8)

    def loss(
        self,
        user: Tensor,
        item: Tensor,
        rating: Tensor,
        label: Tensor,
        n_earlier: Tensor | None = None,
    ) -> Tensor:
        """Mean loss of a batch of training instances (lines 10-12 of Algorithm 1).

        Args:
            user: int64 [batch], or [n_positives] where the negatives are those of `bpr`.
            item: int64 [batch].
            rating: float [batch], R_ij of positives; anything for negatives.
            label: float [batch], 1 for positives, 0 for negatives. For `bpr` the positives come
                first and negative k of positive n stands at n + (k + 1) * n_positives, as in
                RecBole's point-wise batches.
            n_earlier: int64 as `user`, as in `encode_users`.
        """
        rating = rating * label
        value = rating if self.uses_ratings else label
        similarity = self(user, item, value if self.target_masking else None, n_earlier)
        return self.pair_loss(similarity, rating, label)


def _layers(config, name: str) -> list[int]:
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
