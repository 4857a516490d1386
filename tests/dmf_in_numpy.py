"""DMF's parts in plain NumPy."""

import numpy as np
import scipy.sparse as sp
import torch

from recbole_dmf.models.dmf import DMF, Tower
from recbole_dmf.models.gradients import NORM_EPSILON


def numpy_tower(tower: Tower, x: np.ndarray, relu_first=False, relu_last=True) -> np.ndarray:
    weights = [p.detach().numpy() for p in (tower.weight, *tower.hidden.parameters())]
    h = x @ weights[0]  # Eq. (5), line 1
    if tower.bias is not None:
        h = h + tower.bias.detach().numpy()
    if relu_first:
        h = np.maximum(0, h)
    pairs = list(zip(weights[1::2], weights[2::2], strict=True))
    for n, (weight, bias) in enumerate(pairs):
        h = h @ weight.T + bias
        if n < len(pairs) - 1 or relu_last:
            h = np.maximum(0, h)  # Eq. (6)
    return h


def numpy_cosine(p, q):
    norms = np.maximum(np.linalg.norm(p, axis=1) * np.linalg.norm(q, axis=1), NORM_EPSILON)
    return (p * q).sum(1) / norms  # Eq. (8)


def dense_y(model: DMF) -> np.ndarray:
    rows = model.input_of_users.rows
    arrays = (rows.value.numpy(), rows.column.numpy(), rows.start.numpy())
    return sp.csr_matrix(arrays, (len(rows), rows.n_columns)).toarray().astype(np.float64)


def dense_latest(model: DMF, user, n_earlier) -> np.ndarray:
    """The second input row, item by item."""
    rows = np.zeros((len(user), model.n_items))
    for row, u, n in zip(rows, user.tolist(), n_earlier.tolist(), strict=True):
        known = model.history_item[model.history_start[u] :][:n].tolist()
        for age, item in enumerate(known[::-1][: model.recent_items]):
            row[item] = model.recent_decay**age
    return rows


def batch(model, n=40, seed=0):
    """Training pairs first, then pairs without a rating: user, item, rating, label."""
    y = dense_y(model)
    generator = np.random.default_rng(seed)
    positive = np.argwhere(y > 0)
    negative = np.argwhere(y[1:, 1:] == 0) + 1
    pairs = np.concatenate(
        [part[generator.permutation(len(part))[:n]] for part in (positive, negative)]
    )
    user, item = torch.from_numpy(pairs.T.copy())
    label = torch.cat([torch.ones(n), torch.zeros(n)]).double()
    return user, item, torch.from_numpy(y[user, item]), label
