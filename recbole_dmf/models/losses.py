"""The loss functions of Sec. 3.3 and 3.4 as pure functions of tensors; each returns the mean."""

import torch
import torch.nn.functional as F
from torch import Tensor

LOSSES = ("nce", "ce", "square", "bpr", "softmax")


def clamp_score(y_hat: Tensor, mu: float) -> Tensor:
    """Predicted scores moved into [mu, 1 - mu].

    Eq. (13) has the lower side only; the upper one is ours, since log(1 - 1) is minus infinity.

    Args:
        y_hat: any shape.
        mu: a very small number.
    """
    return y_hat.clamp(min=mu, max=1.0 - mu)  # Eq. (13)


def cross_entropy(y_hat: Tensor, y: Tensor) -> Tensor:
    """Binary cross-entropy of probabilities in (0, 1) against targets in [0, 1]. Shapes [batch].

    With y = Y_ij / max(R) it is the normalised cross-entropy of Eq. (12).
    """
    return -(y * torch.log(y_hat) + (1 - y) * torch.log1p(-y_hat)).mean()  # Eq. (11), (12)


def cross_entropy_with_logits(logit: Tensor, y: Tensor) -> Tensor:
    """`cross_entropy` of sigmoid(logit), finite for every logit. Shapes [batch]."""
    return F.binary_cross_entropy_with_logits(logit, y)  # Eq. (11), (12)


def squared_loss(y_hat: Tensor, y: Tensor) -> Tensor:
    """Squared error with all weights w_ij = 1. Shapes [batch]."""
    return ((y - y_hat) ** 2).mean()  # Eq. (10)


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Pairwise loss -log sigmoid(positive - negative) of Rendle et al., UAI 2009.

    The paper leaves the pairwise objective to future work (Sec. 5).

    Args:
        positive: [n_positives].
        negative: [n_positives, n_negatives], of the same users.
    """
    return F.softplus(negative - positive[:, None]).mean()


def normalised_target(rating: Tensor, max_rating: float) -> Tensor:
    """Y_ij / max(R): ratings in [0, max_rating] as targets in [0, 1]."""
    return rating / max_rating  # Eq. (12)
