"""Algorithm 1, the training of DMF and LFM; lines 10 to 12 are `DMF.loss`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from recbole_dmf.data.history import N_EARLIER
from recbole_dmf.data.interactions import train_matrix
from recbole_dmf.data.negatives import NegativeSampler
from recbole_dmf.errors import UserError
from recbole_dmf.models.one_pass import one_pass, takes_one_pass
from recbole_dmf.options import Config
from recbole_dmf.training import parallel
from recbole_dmf.training.adam import EagerAdam
from recbole_dmf.training.base import BaseTrainer

SINGLE_THREAD_BATCH = 4096
GATHERED = 65_536  # instances whose columns are looked up together


class Batch(NamedTuple):
    """A batch of training instances.

    Attributes:
        n_positives: of all processes.
        instances: this process's, the arguments of `DMF.loss`.
    """

    n_positives: int
    instances: tuple[torch.Tensor, ...]


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
        self._positives_per_batch = max(1, self.config["train_batch_size"] // (1 + self._num))
        sampler = train_data._sampler
        if not isinstance(sampler, NegativeSampler):  # RecBole's, with one of its own splits
            matrix, seed = train_matrix(train_data._dataset), self.config["seed"]
            sampler = NegativeSampler(matrix, seed, args["distribution"], float(args["alpha"]))
        self._sampler = sampler.to(device)
        self._generator = torch.Generator(device).manual_seed(self.config["seed"])
        self.draw_negatives()
        self._prepared = True

    def draw_negatives(self) -> None:
        """New negatives for every positive, int32 [n_negatives, n_positives]."""
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
            self.negatives = state["negatives"].to(self.negatives)

    @property
    def n_batches(self) -> int:
        """Of an epoch."""
        return -(-len(self._user) // self._positives_per_batch)

    def batches(self) -> Iterator[Batch]:
        """The batches of an epoch, in random order."""
        order = torch.randperm(len(self._user), generator=self._generator, device=self._user.device)
        size = self._positives_per_batch
        whole = len(order) // size * size
        for positives in order[:whole].split(size * max(1, GATHERED // (size * (1 + self._num)))):
            yield from self._gather(positives.view(-1, size))
        if whole < len(order):
            yield from self._gather(order[None, whole:])

    def _gather(self, positives: torch.Tensor) -> Iterator[Batch]:
        """Batches of the positives with these row numbers, int64 [n_batches, batch_size].

        With several processes each takes its share of a batch.
        """
        share = positives.tensor_split(parallel.world_size(), dim=1)[parallel.rank()]
        rows, (n_batches, n) = share.reshape(-1), share.shape
        repeats = 1 + self._num
        item = torch.cat([self._item[rows][None], self.negatives.index_select(1, rows)])
        item = item.view(repeats, n_batches, n).transpose(0, 1).reshape(n_batches, repeats * n)
        label = torch.zeros(repeats, n, device=item.device)
        label[:1] = 1.0
        columns = [
            self._user[rows].view(n_batches, n),
            item,
            self._rating[rows].view(n_batches, n).repeat(1, repeats),
            label.view(1, -1).expand(n_batches, -1),
        ]
        if self._n_earlier is not None:
            columns.append(self._n_earlier[rows].view(n_batches, n))
        for instances in zip(*columns, strict=True):
            yield Batch(positives.shape[1], instances)

    def step(self, batch: Batch) -> torch.Tensor:
        """One update (Alg. 1, lines 10 to 13).

        Returns:
            The sum of the losses of this process's positives, shape [].
        """
        user, item, *_ = batch.instances
        self.optimizer.zero_grad()
        total = torch.zeros((), device=user.device)
        if len(user):
            weight = len(user) / batch.n_positives
            if takes_one_pass(self.model, item):
                loss = one_pass(self.model, weight, *batch.instances[:4])
            else:
                loss = self.model.loss(*batch.instances)
                loss.backward(torch.full_like(loss, weight))  # Alg. 1, line 13
            total = loss.detach() * len(user)
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
            self.batches(),
            desc=f"epoch {epoch_idx + 1}",
            total=self.n_batches,
            disable=not show_progress,
            leave=False,
        )
        with threads_for(self.config["train_batch_size"]):
            for batch in bar:
                total += self.step(batch)
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
