"""RecBole's sequential models in our split: a user's training items before each target.

RecBole's data augmentation makes an instance of every prefix of a sequence, padded, in one table:
with ml-1m and 50 items some 400 MB. Here a batch's sequences are made when the batch is, so that
what is left of the cost is time: one pass over up to 50 items for each interaction.
"""

from functools import lru_cache
from typing import Any

import torch
from recbole.data.interaction import Interaction
from recbole.data.transform import construct_transform
from recbole.utils import FeatureSource, FeatureType, ModelType
from torch import Tensor

from recbole_dmf.data.history import N_EARLIER, History
from recbole_dmf.errors import UserError
from recbole_dmf.host.dataset import LeaveOneOutDataset
from recbole_dmf.models.sequential import history_of, latest_items, moments, read_history
from recbole_dmf.options import Config

# Need features of the items, or embeddings of them.
_WITH_FEATURES = ["DIEN", "DIN", "FDSA", "GRU4RecF", "GRU4RecKG", "KSR", "S3Rec", "SASRecF"]
# Need the table of all prefixes; ask for the target while they score.
_OTHERS = ["FEARec", "GRU4RecCPR", "SASRecCPR"]
NOT_RUNNABLE = frozenset([*_WITH_FEATURES, *_OTHERS])


class SequenceDataset(LeaveOneOutDataset):
    """The interactions of `LeaveOneOutDataset`, each with the training items before it.

    `dataset[index]` has RecBole's columns of a sequence as well, for example `item_id_list` and
    `item_length`.
    """

    history: History
    has_order = True

    def build(self):
        train, *others = super().build()
        feat = train.inter_feat
        user, item, n_earlier = (feat[name] for name in (self.uid_field, self.iid_field, N_EARLIER))
        self.history = History.of(user, item, n_earlier, self.user_num, self.item_num)
        names, longest = self._columns()
        for part in (train, *others):
            part.history = self.history
            part.set_field_property(
                names[0], FeatureType.TOKEN_SEQ, FeatureSource.INTERACTION, longest
            )
        return [train, *others]

    def _columns(self) -> tuple[tuple[str, str], int]:
        """Names of the two columns of a sequence, and its longest length."""
        config = self.config
        names = config["ITEM_ID_FIELD"] + config["LIST_SUFFIX"], config["ITEM_LIST_LENGTH_FIELD"]
        return names, config["MAX_ITEM_LIST_LENGTH"]

    def with_sequences(self) -> "SequenceDataset":
        """The interactions that have an earlier item, which can be trained on."""
        return self.copy(self._rows((self.inter_feat[N_EARLIER] > 0).nonzero().squeeze(1)))

    def __getitem__(self, index, join=True):
        found = super().__getitem__(index, join)
        names, longest = self._columns()
        user, n_earlier = found[self.uid_field], found[N_EARLIER]
        found.update(sequences(names, longest, self.history, user, n_earlier))
        return found


def sequences(
    names: tuple[str, str],
    longest: int,
    history: History,
    user: Tensor,
    n_earlier: Tensor | None,
) -> Interaction:
    """RecBole's columns of the latest items before a moment, the oldest first.

    A user without earlier items has a sequence of one padding item, since RecBole's models read
    the last item of every sequence.

    Args:
        names: of the two columns.
        longest: items of a sequence at most.
        history: of the training.
        user, n_earlier: int64 [n], as in `History.latest`.

    Returns:
        int64 [n, longest], padded with 0 behind, and the lengths, int64 [n].
    """
    items, length = latest_items(history, user, n_earlier, longest)
    items = torch.nn.functional.pad(items, (0, longest - items.shape[1]))
    return Interaction(dict(zip(names, (items, length.clamp(min=1)), strict=True)))


class _ReadsHistory:
    """What stands in front of RecBole's class: it looks the sequences up for those who ask."""

    ITEM_SEQ: str
    ITEM_SEQ_LEN: str
    ITEM_ID: str
    USER_ID: str
    max_seq_length: int

    def __init__(self, config: Config, dataset: Any):
        construct_transform(config)  # names the columns that it makes, which the model asks for
        super().__init__(config, dataset)  # type: ignore[call-arg]  # RecBole's class
        self.n_users = dataset.user_num
        read_history(self, dataset)

    def _with_sequences(self, interaction):
        user, known = moments(self, interaction)
        names = self.ITEM_SEQ, self.ITEM_SEQ_LEN
        found = sequences(names, self.max_seq_length, history_of(self), user, known)
        if self.ITEM_ID in interaction:
            found.update(Interaction({self.ITEM_ID: interaction[self.ITEM_ID]}))
        found.update(Interaction({self.USER_ID: user}))
        return found

    def full_sort_predict(self, interaction):
        return super().full_sort_predict(self._with_sequences(interaction))

    def predict(self, interaction):
        return super().predict(self._with_sequences(interaction))


@lru_cache
def in_our_split(model: type) -> type:
    """One of RecBole's sequential models, as a model that knows its users' histories.

    Raises:
        UserError: it needs more than the ids of the items.
    """
    if model.__name__ in NOT_RUNNABLE:
        raise UserError(
            f"{model.__name__} cannot be run in this split: it needs item features, RecBole's "
            "table of all prefixes, or the target while it scores; choose a sequential model that "
            "needs ids alone, for example GRU4Rec, SASRec or BERT4Rec."
        )
    return type(model.__name__, (_ReadsHistory, model), {"__module__": model.__module__})


def is_sequential(model: type) -> bool:
    """Whether RecBole counts a model among its sequential ones."""
    return getattr(model, "type", None) == ModelType.SEQUENTIAL
