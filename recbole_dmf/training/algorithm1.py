"""Algorithm 1, the training of DMF and LFM; lines 10 to 12 are `DMF.loss`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tqdm import tqdm

from recbole_dmf.data.history import N_EARLIER
from recbole_dmf.data.interactions import train_matrix
from recbole_dmf.data.negatives import NegativeSampler
from recbole_dmf.errors import UserError
from recbole_dmf.options import Config
from recbole_dmf.training import parallel
from recbole_dmf.training.adam import EagerAdam
from recbole_dmf.training.base import BaseTrainer

SINGLE_THREAD_BATCH = 4096


class DMFTrainer(BaseTrainer):
    """Algorithm 1 with vectorised negatives: no per-row Python, no data loader.

    For models with `loss(user, item, rating, label)` and the field names `USER_ID`, `ITEM_ID` and
    `RATING` as attributes.

    A batch of `train_batch_size` instances is train_batch_size / (1 + negatives) positives, each
    with its own negatives, as RecBole's point-wise batches are.
    """

    data_parallel = True

    def __init__(self, config: Config, model):
        super().__init__(config, model)
        self._prepared = False

    def _build_optimizer(self, **kwargs):
        if self.learner.lower() != "adam":
            return super()._build_optimizer(**kwargs)
        return EagerAdam(
            self.model.parameters(),
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            fused=True,
        )

    def set_up(self, train_data) -> None:
        """Take the positives and the negatives' sampler from RecBole's training loader."""
        feat = train_data._dataset.inter_feat
        device = self.model.device
        self._user = feat[self.model.USER_ID].to(device)
        self._item = feat[self.model.ITEM_ID].to(device)
        rated = self.model.RATING in feat.columns
        rating = feat[self.model.RATING] if rated else torch.ones(len(feat))
        self._rating = rating.to(device)
        self._n_earlier = feat[N_EARLIER].to(device) if N_EARLIER in feat.columns else None
        args = self.config["train_neg_sample_args"]
        if args["dynamic"]:
            raise UserError(
                f"{self.config['model']} draws its negatives without looking at their scores; "
                "leave dynamic in train_neg_sample_args at False."
            )
        if args["sample_num"] == "none" or int(args["sample_num"]) < 1:
            raise UserError(
                f"{self.config['model']} needs negatives: set sample_num in train_neg_sample_args."
            )
        self._num = int(args["sample_num"])
        sampler = train_data._sampler
        if not isinstance(sampler, NegativeSampler):  # RecBole's, with one of its own splits
            matrix, seed = train_matrix(train_data._dataset), self.config["seed"]
            sampler = NegativeSampler(matrix, seed, args["distribution"], float(args["alpha"]))
        self._sampler = sampler.to(device)
        self._generator = torch.Generator(device).manual_seed(self.config["seed"])
        self.draw_negatives()
        self._prepared = True

    def draw_negatives(self) -> None:
        """New negatives for every positive, [n_negatives, n_positives]."""
        self.negatives = self._sampler.sample(self._user, self._num)  # Alg. 1, line 6

    def own_state(self) -> dict[str, Any]:
        """What RecBole's trainers do not have and the next epochs depend on."""
        return {
            "order": self._generator.get_state(),
            "sampler": self._sampler.generator.get_state(),
            "negatives": self.negatives if self.config["sampling"] == "once" else None,
        }

    def load_own_state(self, state: dict[str, Any], train_data) -> None:
        """Inverse of `own_state`, before the first epoch."""
        self.set_up(train_data)
        self._generator.set_state(state["order"])
        self._sampler.generator.set_state(state["sampler"])
        if state["negatives"] is not None:
            self.negatives = state["negatives"].to(self.negatives.device)

    def batches(self) -> tuple[torch.Tensor, ...]:
        """Row numbers of the positives of each batch of an epoch, in random order."""
        order = torch.randperm(len(self._user), generator=self._generator, device=self._user.device)
        return order.split(max(1, self.config["train_batch_size"] // (1 + self._num)))

    def step(self, positives: torch.Tensor) -> torch.Tensor:
        """One update with the given positives and their negatives (Alg. 1, lines 9-13).

        With several processes each takes its share of the positives.

        Returns:
            The sum of the losses of this process's positives, shape [].
        """
        share = positives.tensor_split(parallel.world_size())[parallel.rank()]
        self.optimizer.zero_grad()
        total = torch.zeros((), device=positives.device)
        if len(share):
            item = torch.cat([self._item[share][None], self.negatives[:, share]])
            label = torch.zeros(item.shape, device=item.device)
            label[0] = 1.0
            loss = self.model.loss(
                self._user[share],
                item.view(-1),
                self._rating[share].repeat(1 + self._num),
                label.view(-1),
                *(() if self._n_earlier is None else (self._n_earlier[share],)),
            )
            (loss * (len(share) / len(positives))).backward()  # Alg. 1, line 13
            total = loss.detach() * len(share)
        parallel.sum_gradients(self.model.parameters())
        if self.clip_grad_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), **self.clip_grad_norm)
        self.optimizer.step()
        return total

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        if not self._prepared:
            self.set_up(train_data)
        elif self.config["sampling"] == "per_epoch":
            self.draw_negatives()
        self.model.train()
        total = torch.zeros((), device=self.model.device)
        bar = tqdm(
            self.batches(), desc=f"epoch {epoch_idx + 1}", disable=not show_progress, leave=False
        )
        with threads_for(self.config["train_batch_size"]):
            for positives in bar:
                total += self.step(positives)
        return float(parallel.sum_over_processes(total)) / len(self._user)


@contextmanager
def threads_for(train_batch_size: int) -> Iterator[None]:
    """One thread for small batches, whose operations take less time than waking a second one.

    Other programs on the machine make that wait a hundred times longer.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if train_batch_size <= SINGLE_THREAD_BATCH else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
