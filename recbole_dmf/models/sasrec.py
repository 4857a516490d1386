"""SASRec, Kang & McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018.

Trained at all positions of a sequence at once by cross-entropy over all items, or over sampled ones
(Klenitskiy & Vasilev, RecSys 2023; Petrov & Macdonald, RecSys 2023), where the source takes one
negative per position.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_dmf.data.history import History
from recbole_dmf.data.interactions import ranges
from recbole_dmf.errors import UserError
from recbole_dmf.models.dropout import dropout
from recbole_dmf.models.gradients import sampled_softmax
from recbole_dmf.models.inner_products import InnerProducts
from recbole_dmf.models.sequential import history_of, latest_items, moments, read_history, take
from recbole_dmf.options import Config, number

START = 0  # what a sequence begins with: RecBole's padding item, which no user has
_USERS_PER_BLOCK = 256


def softmax_loss(h: Tensor, items: Tensor, target: Tensor, negative: Tensor | None) -> Tensor:
    """Mean cross-entropy of each target among itself and the negatives, shape [].

    Args:
        h: float [n, width], n > 0.
        items: float [n_items, width].
        target: int64 [n], rows of `items`.
        negative: int64 [k], ascending, of all positions; not counted where it is the target.
            None: all items.
    """
    q = items if negative is None else items[negative]
    if negative is None:
        known = torch.arange(len(h), device=h.device), target
    else:
        first, last = (torch.searchsorted(negative, target, right=side) for side in (False, True))
        known = ranges(first, last - first)
    return sampled_softmax((h * items[target]).sum(dim=1), h, q, None, known)


def windows(
    length: Tensor, max_length: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut sequences into windows of at most `max_length` targets, each target in one of them.

    The first window of a longer sequence has a random length, so that the cuts differ from epoch
    to epoch.

    Args:
        length: int64 [n], targets of each sequence.
        max_length: at least 1.
        generator: of the cuts; None: torch's own.

    Returns:
        Of each window its sequence, the place of its first target and the number of its targets,
        int64 [n_windows].
    """
    cut = torch.rand(len(length), generator=generator).mul(max_length).long() + 1
    first = torch.where(length > max_length, cut, length.clamp(max=max_length))
    count = (length > 0).long() + (length - first + max_length - 1).div(
        max_length, rounding_mode="floor"
    )
    sequence, number_of = ranges(torch.zeros_like(count), count)
    begin = (first[sequence] + (number_of - 1) * max_length).masked_fill(number_of == 0, 0)
    end = torch.minimum(first[sequence] + number_of * max_length, length[sequence])
    return sequence, begin, end - begin


def attention(query: Tensor, key: Tensor, value: Tensor, dropout_prob: float) -> Tensor:
    """Causal self-attention, [n, heads, length, width] each (Eq. 2 of the source)."""
    if not (query.is_cpu and dropout_prob):
        return F.scaled_dot_product_attention(query, key, value, None, dropout_prob, is_causal=True)
    length = query.shape[-2]  # torch's own takes as many operations here, and slower dropout
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    score = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return dropout(score.masked_fill_(later, -torch.inf).softmax(dim=-1), dropout_prob) @ value


class Block(nn.Module):
    """Self-attention and a point-wise network, each with layer norm, dropout and a short cut.

    Sec. III-B, III-C of the source; the norm stands before each of the two (Eq. 8 there).
    """

    def __init__(self, width: int, heads: int, dropout_prob: float):
        super().__init__()
        self.heads, self.dropout_prob = heads, dropout_prob
        self.attention_norm, self.network_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[n, length, width] -> the same; a position sees itself and earlier ones alone."""
        n, length, width = x.shape
        parts = self.query_key_value(self.attention_norm(x)).view(n, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        p = self.dropout_prob if self.training else 0.0
        mixed = attention(query, key, value, p).transpose(1, 2)
        x = x + dropout(self.out(mixed.reshape(n, length, width)), p)
        inner = dropout(self.inner(self.network_norm(x)).relu(), p)
        return x + dropout(self.outer(inner), p)


class SASRec(InnerProducts, GeneralRecommender):
    """SASRec over each user's training items; the score is an inner product of two vectors.

    The options and their sources are in `properties/model/SASRec.yaml`. A sequence begins with
    `START`, so that the first item is a target as well and a user without items has a vector.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the training interactions.

    Raises:
        UserError: an option has a value that cannot be worked with.
    """

    input_type = InputType.POINTWISE
    reads_order = True
    history_start: Tensor
    history_item: Tensor

    def __init__(self, config: Config, dataset: Any):
        super().__init__(config, dataset)
        width, heads = int(number(config, "hidden_size", 1)), int(number(config, "n_heads", 1))
        if width % heads:
            raise UserError(f"hidden_size {width} is no multiple of n_heads {heads}; make it one.")
        self.max_length = int(number(config, "max_length", 1))
        self.dropout_prob = number(config, "dropout_prob", 0, 0.99)
        self.n_sampled = int(number(config, "sampled_items", 0))
        read_history(self, dataset)
        self.item_embedding = nn.Embedding(self.n_items, width)
        self.position_embedding = nn.Embedding(self.max_length, width)
        self.blocks = nn.ModuleList(
            Block(width, heads, self.dropout_prob)
            for _ in range(int(number(config, "n_layers", 1)))
        )
        self.norm = nn.LayerNorm(width)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, 0.0, number(config, "init_std", 0))
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        self._vectors: tuple[Tensor, Tensor] | None = None

    def train(self, mode: bool = True):
        self._vectors = None
        return super().train(mode)

    def load_state_dict(self, *args, **kwargs):
        self._vectors = None
        return super().load_state_dict(*args, **kwargs)

    def hidden(self, item: Tensor) -> Tensor:
        """What is predicted after each item of sequences, [n, length] -> [n, length, width].

        Args:
            item: int64, at most `max_length` long; what stands behind a sequence's end changes
                nothing before it.
        """
        x = self.item_embedding(item) + self.position_embedding.weight[: item.shape[1]]
        x = dropout(x, self.dropout_prob if self.training else 0.0)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def batches(self, n_windows: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The items and the targets of an epoch's batches, int64 [n, length] each.

        Windows of similar length come together. Where a window ends before its row does, the
        target is `START`.
        """
        start = self.history_start.long().cpu()
        sequence, begin, count = windows(start.diff(), self.max_length)
        shuffled = torch.randperm(len(sequence))
        order = shuffled[count[shuffled].argsort(stable=True)]
        parts = order.split(n_windows)
        for place in torch.randperm(len(parts)).tolist():
            part = parts[place]
            first = (start[sequence[part]] + begin[part]).to(self.device)
            target = take(self.history_item, first, count[part].to(self.device))
            item = target.roll(1, dims=1)
            item[:, 0] = START
            inside = (begin[part] > 0).to(self.device)
            item[inside, 0] = self.history_item[first[inside] - 1].long()
            yield item, target

    def loss(self, item: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy over a batch's targets, shape []. Shapes as from `batches`."""
        counted = target != START
        h, target = self.hidden(item)[counted], target[counted]
        items, negative = self.item_embedding.weight[1:], None
        if self.n_sampled:
            negative = torch.randint(len(items), (self.n_sampled,), device=h.device).sort().values
        return softmax_loss(h, items, target - 1, negative)

    def calculate_loss(self, interaction) -> Tensor:
        """Not used: `SASRecTrainer` takes whole sequences."""
        raise NotImplementedError

    def encode_users(
        self,
        user: Tensor | None = None,
        n_earlier: Tensor | None = None,
        history: History | None = None,
    ) -> Tensor:
        """Vectors of users (all if None), [n, width].

        Args:
            user, n_earlier: as in `History.latest`.
            history: of other users than those of the training; None: of these.
        """
        history = history or history_of(self)
        if user is None:
            user = torch.arange(len(history.start) - 1, device=self.device)
        parts = []
        for block in torch.arange(len(user), device=self.device).split(_USERS_PER_BLOCK):
            known = None if n_earlier is None else n_earlier[block]
            item, length = latest_items(history, user[block], known, self.max_length)
            item = F.pad(item, (0, 1), value=START)[:, : self.max_length]
            whole = length < self.max_length  # there is room for `START` in front
            item[whole] = item[whole].roll(1, dims=1)
            last = torch.where(whole, length, length - 1)
            parts.append(self.hidden(item)[torch.arange(len(item), device=self.device), last])
        return torch.cat(parts) if parts else self.norm.weight.new_zeros(0, len(self.norm.weight))

    def encode_items(self, item: Tensor | None = None) -> Tensor:
        """Vectors of items (all if None), [n, width]."""
        weight = self.item_embedding.weight
        return weight if item is None else weight[item]

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Vectors of all users, all their items known, and of all items; kept until training.

        Returns:
            ([n_users, width], [n_items, width]); their inner product is the score.
        """
        if self._vectors is None or self.training:
            with torch.no_grad():
                self._vectors = self.encode_users(), self.encode_items().detach()
        return self._vectors

    def user_vectors(self, interaction) -> Tensor:
        """Vectors of a batch's users at the time that it names, [batch, width]."""
        user, known = moments(self, interaction)
        if known is None:
            return self.vectors()[0][user]
        with torch.no_grad():
            return self.encode_users(user, known)

    def item_vectors(self) -> Tensor:
        """Vectors of all items, [n_items, width]."""
        return self.encode_items().detach()
