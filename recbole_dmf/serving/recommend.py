"""Recommendations from a run's checkpoint, for known users and, with DMF, for new ones."""

import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from recbole_dmf.data.history import History
from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.products import Blocks, Products, all_finite, whole_rows
from recbole_dmf.host.rebuild import rebuild
from recbole_dmf.models.dmf import DMF, Tower
from recbole_dmf.models.gradients import unit_vectors
from recbole_dmf.models.scores import scores_of
from recbole_dmf.serving.model_file import read_model_file
from recbole_dmf.serving.top_items import Top, top_k, top_k_of_products, users_per_block

_SCORES_PER_CHUNK = 4_000_000
_PROBED_USERS = 8
_BLOCKS_IN_ROWS = 4  # a catalogue of so few blocks is ranked as fast by whole rows


def scores_as_dmf(model: type[DMF]) -> bool:
    """Whether a class that derives from DMF leaves all that its scores come from as it is."""
    ours = [base for base in DMF.__mro__ if base.__module__.startswith("recbole_dmf.")]
    methods = {name for base in ours for name in vars(base) if not name.startswith("__")}
    methods -= {"loss", "calculate_loss"}
    derived = model.__mro__[: model.__mro__.index(DMF)]
    return not any(methods & vars(base).keys() for base in derived)


class Recommender:
    """A trained model that answers in the data set's own ids, which are strings.

    Items with equal scores come in the order in which the data set first names them. "Seen" are
    the training interactions; those held out for validation and test can be recommended.

    Attributes:
        content: of the checkpoint; see `serving.model_file`.
        model: the trained model.
        users, items: str [n], ids by internal number; number 0 is padding and never an answer.
        train: float32 CSR [n_users, n_items], training ratings.
        max_rating: upper end of the rating scale, 1 where the data have no ratings.
    """

    def __init__(self, content: dict[str, Any], device: torch.device | str = "cpu"):
        self.content = content
        self.model: Any = rebuild(content, device)
        self.device: torch.device = torch.device(device)
        self.users = np.array(content["users"], dtype=object)
        self.items = np.array(content["items"], dtype=object)
        self.train: sp.csr_matrix = content["train"]
        self.max_rating = _max_rating(self.train, content["settings"].get("max_rating"))
        self._user_number = {token: n for n, token in enumerate(content["users"]) if n}
        self._item_number = {token: n for n, token in enumerate(content["items"]) if n}
        self._blocks = Blocks(len(self.items))

    @classmethod
    def load(cls, path: Path | str, device: torch.device | str = "cpu") -> "Recommender":
        """Rebuild the model of a run; the data set's files are not needed.

        Args:
            path: the run's folder, or its model.pt.
            device: to score on.

        Raises:
            UserError: missing or damaged, a model that cannot be rebuilt, or no such device.
        """
        return cls(read_model_file(Path(path)), device)

    def recommend(
        self,
        user: str | int | Iterable[str | int] | None = None,
        k: int = 10,
        exclude_seen: bool = True,
        history: Mapping[str, float] | None = None,
    ) -> pd.DataFrame:
        """The k items with the highest scores, for known users or (DMF) for a new one.

        Args:
            user: an id or several.
            k: items per user; fewer where there are no more.
            exclude_seen: leave out a user's training items, or those in `history`.
            history: {item id: rating} of a user who was not in training, the oldest first (which
                matters with `recent_items`); instead of `user`. Unknown items are left out with
                a warning.

        Returns:
            user_id ("" for `history`), item_id, rank (from 1), score; users in the given order.

        Raises:
            UserError: unknown user, k below 1, a rating off the scale, an empty history, or
                `history` with another model than DMF.
        """
        k = _whole_number(k)
        if (user is None) == (history is None):
            raise UserError("give either user ids or a history.")
        if history is not None:
            number, rating = self._ratings(history, self._item_number, "item", "history")
            p = self._new_user(number, rating)
            seen = torch.from_numpy(number).to(self.device)
            score = whole_rows(p[None], self._dmf().vectors()[1])
            score = _without(score, torch.zeros_like(seen), seen) if exclude_seen else score
            return self._frame(np.array([""], dtype=object), *self._top(score, k))
        ids = self._numbers(user, self._user_number, "user")
        products = self._products()
        rows = max(1, _SCORES_PER_CHUNK // len(self.items))
        size = rows if products is None else users_per_block(k)
        parts = []
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            left_out = self.train[part] if exclude_seen else sp.csr_matrix((len(part), 0))
            row, item, value = self._best(products, part, k, left_out)
            parts.append((row + start, item, value))
        row, item, value = (np.concatenate(column) for column in zip(*parts, strict=True))
        return self._frame(self.users[ids], row, item, value)

    def score(self, user: str | int, items: Iterable[str | int]) -> pd.DataFrame:
        """Scores of the given items, in the given order: user_id, item_id, score.

        Raises:
            UserError: unknown user or item.
        """
        number = self._numbers(user, self._user_number, "user", one=True)
        item = self._numbers(items, self._item_number, "item")
        value = self.scores(number)[0].cpu().numpy()[item]
        columns = {"user_id": self.users[number[0]], "item_id": self.items[item], "score": value}
        return pd.DataFrame(columns)

    def score_item(self, ratings_by_user: Mapping[str, float]) -> pd.DataFrame:
        """Scores of all users for an item that was not in training (DMF), the highest first.

        With `preceding_items` the item's row of these is empty, since the order is not given.

        Args:
            ratings_by_user: {user id: rating}; unknown users are left out with a warning.

        Returns:
            user_id, score.

        Raises:
            UserError: another model than DMF, no known user, or a rating off the scale.
        """
        number, rating = self._ratings(
            ratings_by_user, self._user_number, "user", "ratings_by_user"
        )
        q = self._new_item(number, rating)
        score = (self._dmf().vectors()[0] @ q)[None]
        _, user, value = self._top(score, len(self.users))
        return pd.DataFrame({"user_id": self.users[user], "score": value})

    def similar_items(self, item: str | int, k: int = 10) -> pd.DataFrame:
        """The k items whose vectors have the highest cosine with an item's: item_id, rank, score.

        Raises:
            UserError: unknown item, or the model has no vectors.
        """
        number = self._numbers(item, self._item_number, "item", one=True)
        return self._similar(self._latent()[1], number, "item_id", self.items, k)

    def similar_users(self, user: str | int, k: int = 10) -> pd.DataFrame:
        """The k users whose vectors have the highest cosine with a user's: user_id, rank, score.

        Raises:
            UserError: unknown user, or the model has no vectors.
        """
        number = self._numbers(user, self._user_number, "user", one=True)
        return self._similar(self._latent()[0], number, "user_id", self.users, k)

    def knows_user(self, user: str) -> bool:
        """Whether the model was trained on a user of that id."""
        return user in self._user_number

    def scores(self, number: NDArray[np.int64]) -> Tensor:
        """Scores of all items for users by internal number, [n, n_items], a new tensor.

        Raises:
            UserError: a score is not a finite number.
        """
        user = torch.from_numpy(number).to(self.device)
        with torch.no_grad():
            score = scores_of(self.model, len(self.items))(user).to(self.device)
        self._check_finite(score)
        return score.clone()

    def _check_finite(self, score: Tensor) -> None:
        if not all_finite(score):
            raise UserError(
                f"{self.content['model']} scores some items NaN or infinite; its training went "
                "wrong: train again, with a smaller learning_rate for example."
            )

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Vectors of which the inner product is the score, [n_users, f] and [n_items, f].

        Unit vectors for DMF and LFM with a cosine; the last dimension of DMF with `popularity` is
        beside these. Number 0 is padding.

        Raises:
            UserError: the model's score is not an inner product of two vectors.
        """
        found: list[Any] = [None, None]
        if hasattr(self.model, "vectors"):
            found = list(self.model.vectors())
        else:
            for n, name in enumerate(("user_embedding", "item_embedding")):
                table = getattr(self.model, name, None)
                found[n] = table.weight if isinstance(table, torch.nn.Embedding) else table
        if all(isinstance(table, Tensor) and table.dim() == 2 for table in found):
            p, q = (table.detach() for table in found)
            if len(p) == len(self.users) and len(q) == len(self.items):
                probe = np.arange(1, min(len(self.users), 1 + _PROBED_USERS))
                if torch.allclose(self.scores(probe), p[probe] @ q.T, rtol=1e-4, atol=1e-6):
                    return p, q
        raise UserError(
            f"{self.content['model']} has no vectors whose inner product is its score; use DMF, "
            "LFM, EALS or BPR for this."
        )

    def _latent(self) -> tuple[Tensor, Tensor]:
        """`vectors` without the dimension of DMF's `popularity`, which is no trait of an item."""
        p, q = self.vectors()
        return (p[:, :-1], q[:, :-1]) if getattr(self.model, "popularity", None) else (p, q)

    def _dmf(self) -> DMF:
        if not isinstance(self.model, DMF) or not scores_as_dmf(type(self.model)):
            raise UserError(
                f"{self.content['model']} cannot score new users or items without retraining; "
                "DMF can."
            )
        return self.model

    def _new_user(self, number: NDArray, rating: NDArray) -> Tensor:
        """The vector of a user with these items, in the order of time, [factors]."""
        model = self._dmf()
        with torch.no_grad():
            l_1 = self._first_layer(model.user_tower, number, rating)
            if model.recent_items:
                ends = torch.tensor([0, len(number)], dtype=torch.int32, device=self.device)
                item = torch.from_numpy(number).int().to(self.device)
                history = History(ends, item, len(self.items))
                l_1 += model.latest(history=history).matmul(model.recent_weight)
            return model.as_user_vectors(model.user_tower.upper_layers(l_1))[0]

    def _new_item(self, number: NDArray, rating: NDArray) -> Tensor:
        """The vector of an item with these users, [factors]."""
        model = self._dmf()
        with torch.no_grad():
            h = model.item_tower.upper_layers(self._first_layer(model.item_tower, number, rating))
            count = torch.tensor([float(len(number))], dtype=h.dtype, device=self.device)
            return model.as_item_vectors(h, count)[0]

    def _first_layer(self, tower: Tower, number: NDArray, rating: NDArray) -> Tensor:
        """The first layer's output for one sparse input row, [1, width]: Eq. (5), line 1."""
        order = np.argsort(number)
        rows = torch.from_numpy(number[order]).to(self.device)
        value = torch.from_numpy(rating[order]).to(self.device)
        value = value if self._dmf().uses_ratings else torch.ones_like(value)  # Eq. (2) | (1)
        return (value[None] @ tower.weight.index_select(0, rows)).contiguous()

    def _ratings(
        self, given: Mapping[str, float], known: dict[str, int], kind: str, where: str
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Internal numbers and checked ratings of {id: rating}, in the given order."""
        self._dmf()
        if not isinstance(given, Mapping) or not given:
            raise UserError(f"{where} must hold at least one {kind}: rating pair.")
        unknown, numbers, ratings = [], [], []
        for key, rating in given.items():
            token = _token(key, kind)
            real = isinstance(rating, (int, float, np.integer, np.floating))
            if not real or isinstance(rating, bool) or not 0 < rating <= self.max_rating:
                raise UserError(
                    f"the rating of {kind} {_short(token)} in {where} is {_short(rating)}; "
                    f"ratings here are numbers above 0 and up to {self.max_rating:g}."
                )
            if token in known:
                numbers.append(known[token])
                ratings.append(float(rating))
            else:
                unknown.append(token)
        if len(set(numbers)) < len(numbers):
            raise UserError(f"{where} names {'an' if kind == 'item' else 'a'} {kind} twice.")
        if unknown:
            shown = ", ".join(map(_short, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
            text = f"{len(unknown)} {kind}(s) in {where} are unknown to the model: {shown}"
            if not numbers:
                raise UserError(f"{text}; none is known, so there is nothing to go by.")
            warnings.warn(f"{text}; ignored.", stacklevel=3)
        return np.array(numbers, np.int64), np.array(ratings, np.float32)

    def _numbers(
        self, given: Any, known: dict[str, int], kind: str, one: bool = False
    ) -> NDArray[np.int64]:
        """Internal numbers of one id or several."""
        single = one or isinstance(given, (str, int, np.integer)) or not np.iterable(given)
        tokens = [_token(value, kind) for value in ([given] if single else given)]
        if not tokens:
            raise UserError(f"no {kind} is given.")
        missing = [token for token in tokens if token not in known]
        if missing:
            more = f" (nor are {len(missing) - 1} more)" if len(missing) > 1 else ""
            new = "; score new users by recommend(history=...), --history" if kind == "user" else ""
            raise UserError(
                f"{kind} {_short(missing[0])}{more} is not among the {len(known):,} {kind}s that "
                f"the model was trained on{new}."
            )
        return np.array([known[token] for token in tokens], np.int64)

    def _products(self) -> Products | None:
        """The scores, if they are inner products and the catalogue is worth blocks of them."""
        if len(self._blocks) <= _BLOCKS_IN_ROWS:
            return None
        scores = scores_of(self.model, len(self.items))
        return scores if isinstance(scores, Products) else None

    def _best(
        self, products: Products | None, part: NDArray, k: int, left_out: sp.csr_matrix
    ) -> Top:
        """Row, item and score of the best k of users by number, without what is left out."""
        if products is None:
            pairs = left_out.tocoo()
            places = (torch.from_numpy(index).long() for index in (pairs.row, pairs.col))
            return self._top(_without(self.scores(part), *places), k)
        with torch.no_grad():
            users = products.users(torch.from_numpy(part).to(self.device))
            return top_k_of_products(
                users, products.items, k, left_out, self._blocks, self._check_finite
            )

    def _similar(self, vectors: Tensor, number: NDArray, column: str, ids: NDArray, k: int):
        unit = unit_vectors(vectors)
        score = unit[number] @ unit.T
        score[0, number] = -math.inf  # nothing is similar to itself
        _, other, value = self._top(score, _whole_number(k))
        rank = np.arange(1, len(other) + 1)
        return pd.DataFrame({column: ids[other], "rank": rank, "score": value})

    def _top(self, score: Tensor, k: int) -> tuple[NDArray, NDArray, NDArray]:
        score[:, 0] = -math.inf  # padding
        return top_k(score, k)

    def _frame(self, users: NDArray, row: NDArray, item: NDArray, value: NDArray) -> pd.DataFrame:
        rank = np.arange(len(row)) - np.searchsorted(row, row) + 1
        return pd.DataFrame(
            {"user_id": users[row], "item_id": self.items[item], "rank": rank, "score": value}
        )


def _max_rating(train: sp.csr_matrix, setting: Any) -> float:
    rated = bool((train.data != 1).any())
    given = isinstance(setting, (int, float)) and 0 < setting < math.inf
    return float(setting) if rated and given else float(train.data.max())


def _without(score: Tensor, row: Tensor, column: Tensor) -> Tensor:
    score[row.to(score.device), column.to(score.device)] = -math.inf
    return score


def _whole_number(k: Any) -> int:
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or k < 1:
        raise UserError(f"k is {_short(k)}; give a whole number of at least 1.")
    return int(k)


def _token(value: Any, kind: str) -> str:
    if not isinstance(value, (str, int, np.integer)) or isinstance(value, bool):
        raise UserError(f"{_short(value)} is not the id of a {kind}; ids are text.")
    return str(value)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print whole numbers of thousands of digits
        text = f"a {type(value).__name__} too long to print"
    return text if len(text) <= 80 else f"{text[:77]}..."
