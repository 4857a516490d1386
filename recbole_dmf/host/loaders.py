"""What RecBole's programs ask for after a run: a restored model and loaders of each part."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recbole.config import Config
from recbole.data.dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType

from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.candidates import Candidates
from recbole_dmf.host.config import set_seeds
from recbole_dmf.host.lookup import find_model
from recbole_dmf.host.rebuild import on_device


class CandidateDataLoader(AbstractDataLoader):
    """Evaluation batches as RecBole's NegSampleEvalDataLoader makes them, of fixed candidates.

    RecBole's own loader draws candidates anew at each pass, with repeats. Iterating gives
    (interaction, row, target row, target): the pairs that are to be scored, each user's target
    first; int64 [n_pairs] the user's number in the batch; int64 [n_users], 0, 1, ...; int64
    [n_users], the left-out items. `recbole.trainer.Trainer.evaluate` takes it.

    Args:
        config: RecBole's Config.
        dataset: RecBole's Dataset of the part, one interaction for each user at most.
        candidates: of that part.
    """

    def __init__(self, config: Config, dataset: Any, candidates: Candidates):
        self.candidates = candidates
        self.sample_size = len(candidates.user)
        self._row = np.zeros(dataset.user_num, np.int64)  # of each user's interaction
        self._row[dataset.inter_feat[dataset.uid_field].numpy()] = np.arange(len(dataset))
        self._label = config["LABEL_FIELD"]
        dataset.set_field_property(self._label, FeatureType.FLOAT, FeatureSource.INTERACTION, 1)
        super().__init__(config, dataset, sampler=None)

    def _init_batch_size_and_step(self):
        width = 1 + self.candidates.items.shape[1]
        self.step = max(1, self.config["eval_batch_size"] // width)
        self.set_batch_size(self.step * width)

    def collate_fn(self, index):
        index = np.asarray(index)
        dataset = self._dataset
        user, target = self.candidates.user[index], self.candidates.target[index]
        item = np.column_stack([target, self.candidates.items[index]])
        row, place = np.nonzero(item >= 0)  # users with fewer unseen items have fewer candidates
        pairs = dataset[torch.from_numpy(self._row[user[row]])]
        pairs.update(Interaction({dataset.iid_field: torch.from_numpy(item[row, place])}))
        pairs = dataset.join(pairs)
        pairs.update(Interaction({self._label: torch.from_numpy((place == 0).astype(np.float32))}))
        pairs = self.transform(dataset, pairs)
        return pairs, torch.from_numpy(row), torch.arange(len(index)), torch.from_numpy(target)


def part_of(dataset: Any, rows: NDArray[np.int64]):
    """RecBole's Dataset of some of the interactions of one that is split already."""
    return dataset.copy(dataset.inter_feat[torch.from_numpy(rows)])


def restore_model(config: Config, train: Any, content: dict[str, Any]) -> torch.nn.Module:
    """The trained model over its data set, in evaluation mode.

    Args:
        config: of the run.
        train: RecBole's Dataset of the training interactions.
        content: of model.pt; see `serving.model_file`.

    Raises:
        UserError: the parameters do not fit the data set or the model.
    """
    set_seeds(config)
    model: Any = find_model(config["model"])(config, train).to(config["device"])
    try:
        model.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"the parameters in model.pt do not fit {config['model']} on {train.user_num} users "
            f"and {train.item_num} items ({reason})."
        ) from error
    model.load_other_parameter(on_device(content["other_parameter"], config["device"]))
    return model.eval()
