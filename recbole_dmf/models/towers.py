"""What DMF and LFM share: two latent vectors, their similarity, and what RecBole asks for."""

from typing import Any

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_dmf.data.history import N_EARLIER
from recbole_dmf.data.interactions import max_rating
from recbole_dmf.errors import UserError
from recbole_dmf.models.gradients import unit_vectors
from recbole_dmf.models.inner_products import InnerProducts
from recbole_dmf.models.losses import LOSSES
from recbole_dmf.options import Config, choice

SIMILARITIES = ("cosine", "scaled_cosine", "dot")
INITS = ("normal", "xavier")
SCALE_START, OFFSET_START = 10.0, -5.0


def initialise(parameter: Tensor, init: str) -> None:
    """Draw a parameter's start, as `init` of the options says."""
    if init == "normal":
        nn.init.normal_(parameter, 0.0, 0.01)  # Sec. 4.1
    elif parameter.dim() > 1:
        nn.init.xavier_uniform_(parameter)
    else:
        nn.init.zeros_(parameter)


class TwoTowerModel(InnerProducts, GeneralRecommender):
    """A model that ranks by the similarity of a user's and an item's latent vector.

    A subclass builds its two sides in `__init__` and defines `encode_users` and `encode_items`
    (all of them where no ids are given) and `loss`.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions.

    Raises:
        UserError: an option has a value that cannot be worked with.
    """

    input_type = InputType.POINTWISE

    def __init__(self, config: Config, dataset: Any):
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
        self.max_rating = max_rating(dataset)
        if rating is not None and len(rating) and rating.max() > self.max_rating:
            raise UserError(
                f"max_rating is {self.max_rating:g} but the data hold a rating of "
                f"{rating.max():g}; correct `max_rating` or the ratings."
            )
        if self.similarity == "scaled_cosine":
            self.log_scale = nn.Parameter(torch.tensor(SCALE_START).log())
            self.offset = nn.Parameter(torch.tensor(OFFSET_START))
        self._vectors: tuple[Tensor, Tensor] | None = None

    def encode_users(self, user: Tensor | None = None, n_earlier: Tensor | None = None) -> Tensor:
        """Latent vectors of users (all if None), [n, factors]."""
        raise NotImplementedError

    def encode_items(self, item: Tensor | None = None) -> Tensor:
        """Latent vectors of items (all if None), [n, factors]."""
        raise NotImplementedError

    def loss(
        self,
        user: Tensor,
        item: Tensor,
        rating: Tensor,
        label: Tensor,
        n_earlier: Tensor | None = None,
    ) -> Tensor:
        """Mean loss of a batch of training instances, shape []; see `DMF.loss`."""
        raise NotImplementedError

    def normalise(self, h: Tensor) -> Tensor:
        """Latent vectors of which the inner product is the similarity, [n, factors]."""
        return h if self.similarity == "dot" else unit_vectors(h)

    def as_user_vectors(self, h: Tensor) -> Tensor:
        """What of users' latent vectors the score is an inner product of, [n, factors]."""
        return self.normalise(h)

    def as_item_vectors(self, h: Tensor) -> Tensor:
        """What of all items' latent vectors the score is an inner product of, [n, factors]."""
        return self.normalise(h)

    def scale(self) -> Tensor | float:
        """What the similarity is multiplied by in `logit`."""
        return self.log_scale.exp() if self.similarity == "scaled_cosine" else 1.0

    def logit(self, similarity: Tensor) -> Tensor:
        """What a sigmoid turns into a probability, for `scaled_cosine` and `dot`. [batch]."""
        if self.similarity == "scaled_cosine":
            return self.log_scale.exp() * similarity + self.offset
        return similarity

    def calculate_loss(self, interaction) -> Tensor:
        """Mean loss of one of RecBole's point-wise batches, shape []."""
        label = interaction[self.LABEL]
        rating = interaction[self.RATING] if self.RATING in interaction.columns else label
        pairs = interaction[self.USER_ID], interaction[self.ITEM_ID], rating, label
        if N_EARLIER in interaction:
            return self.loss(*pairs, interaction[N_EARLIER])
        return self.loss(*pairs)

    def train(self, mode: bool = True):
        """As torch's; the vectors of the last evaluation are forgotten."""
        self._vectors = None
        return super().train(mode)

    def load_state_dict(self, *args, **kwargs):
        """As torch's; the vectors of the last evaluation are forgotten."""
        self._vectors = None
        return super().load_state_dict(*args, **kwargs)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Normalised vectors of all users and all items, encoded once until training continues.

        Returns:
            ([n_users, factors], [n_items, factors]); their inner product is the score.
        """
        if self._vectors is None or self.training:
            with torch.no_grad():
                p, q = self.encode_users(), self.encode_items()
                self._vectors = self.as_user_vectors(p), self.as_item_vectors(q)
        return self._vectors

    def user_vectors(self, interaction) -> Tensor:
        """Normalised vectors of the users of a batch, [batch, factors]."""
        return self.vectors()[0][interaction[self.USER_ID]]

    def item_vectors(self) -> Tensor:
        """Normalised vectors of all items, [n_items, factors]; the products are Eq. (8)."""
        return self.vectors()[1]
