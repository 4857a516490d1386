"""RecBole's training loop with our evaluation, history and checkpoints, and DMF's fast epoch."""

import csv
import inspect
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from recbole.data.interaction import Interaction
from recbole.trainer import Trainer
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from recbole_dmf.data.interactions import interaction_matrix
from recbole_dmf.data.negatives import NegativeSampler
from recbole_dmf.errors import UserError
from recbole_dmf.evaluation.evaluate import Counts, Phase, summarise
from recbole_dmf.evaluation.metrics import READINGS
from recbole_dmf.files import atomic_path
from recbole_dmf.training import parallel
from recbole_dmf.training.checkpoint import load_checkpoint, save_checkpoint

CHECKPOINT = "model.pt"
HISTORY = "history.csv"
SINGLE_THREAD_BATCH = 4096


class RunTrainer(Trainer):
    """A RecBole trainer whose validation, checkpoints and history belong to one run's folder.

    Mixed in front of the trainer class that RecBole chooses for a model; see `trainer_class`.
    `attach` must be called before `fit`.

    Attributes:
        history: one dict per evaluated epoch, as in history.csv.
        best_epoch: epoch of the checkpoint, counted from 1; 0 before the first.
        seconds: total of training and of scoring so far.
    """

    def attach(self, folder: Path, valid: Phase | None, about: dict[str, Any]) -> None:
        """Name the run's folder, its validation phase and what the checkpoint says of the run."""
        self.folder = folder
        self.valid_phase = valid
        self.about = about
        self.saved_model_file = str(folder / CHECKPOINT)
        if parallel.rank() == 0:
            self.tensorboard = SummaryWriter(str(folder / "tensorboard"))
        self.history: list[dict[str, Any]] = []
        self.best_epoch = 0
        self.seconds = {"train": 0.0, "score": 0.0}
        self.metrics = [metric.lower() for metric in self.config["metrics"]]
        self.valid_reading = self.config["valid_reading"]

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        start = time.perf_counter()
        self._epoch = epoch_idx
        loss = super()._train_epoch(train_data, epoch_idx, loss_func, show_progress)
        self._train_seconds = time.perf_counter() - start
        self.seconds["train"] += self._train_seconds
        self._train_loss = sum(loss) if isinstance(loss, tuple) else loss
        if not math.isfinite(self._train_loss):
            raise ValueError("Training loss is nan")
        return loss

    def count(self, phase: Phase) -> Counts:
        """Rank the targets of a phase with the model as it is now."""
        self.model.eval()
        return phase.count(lambda user: self._score_all(user, phase.n_items))

    def _score_all(self, user: torch.Tensor, n_items: int) -> torch.Tensor:
        interaction = Interaction({self.config["USER_ID_FIELD"]: user})
        try:
            return self.model.full_sort_predict(interaction).view(len(user), n_items)
        except NotImplementedError:
            return self._score_pairs(user, n_items)

    def _score_pairs(self, user: torch.Tensor, n_items: int) -> torch.Tensor:
        """Scores of all items for models that only score pairs."""
        item = torch.arange(n_items, device=user.device)
        size = max(1, 262_144 // n_items)
        rows = []
        for part in user.split(size):
            pairs = Interaction(
                {
                    self.config["USER_ID_FIELD"]: part.repeat_interleave(n_items),
                    self.config["ITEM_ID_FIELD"]: item.repeat(len(part)),
                }
            )
            rows.append(self.model.predict(pairs).view(len(part), n_items))
        return torch.cat(rows)

    def _valid_epoch(self, valid_data, show_progress=False):
        start = time.perf_counter()
        result = summarise(self.count(self.valid_phase), self.metrics, self.config["topk"])
        seconds = time.perf_counter() - start
        self.seconds["score"] += seconds
        score = result[self.valid_reading][self.config["valid_metric"].lower()]
        row = {
            "epoch": self._epoch + 1,
            "train_loss": self._train_loss,
            "train_seconds": self._train_seconds,
            "valid_seconds": seconds,
        }
        for reading in READINGS:
            for name, value in result[reading].items():
                row[f"valid_{name}_{reading}"] = value
                self.tensorboard.add_scalar(f"valid_{reading}/{name}", value, self._epoch + 1)
        self._record(row)
        best = score >= self.best_valid_score
        shown = "  ".join(f"{k} {v:.4f}" for k, v in result[self.valid_reading].items())
        self.logger.info(
            f"epoch {row['epoch']:>4}  loss {self._train_loss:.5f}  valid {shown}  "
            f"({self._train_seconds:.1f} s + {seconds:.1f} s){'  best' if best else ''}"
        )
        return score, result

    def _record(self, row: dict[str, Any]) -> None:
        self.history.append(row)
        if parallel.rank():
            return
        with (
            atomic_path(self.folder / HISTORY) as temporary,
            temporary.open("w", newline="") as file,
        ):
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerows(self.history)

    def _save_checkpoint(self, epoch, verbose=True, **kwargs):
        self.best_epoch = epoch + 1
        if parallel.rank():
            return
        save_checkpoint(
            Path(self.saved_model_file),
            {
                **self.about,
                "epoch": self.best_epoch,
                "state_dict": dict(self.model.state_dict()),
                "other_parameter": self.model.other_parameter(),
            },
        )

    def load_best(self) -> None:
        """Put the checkpoint's parameters back into the model."""
        parallel.wait()
        content = load_checkpoint(Path(self.saved_model_file), self.device)
        self.model.load_state_dict(content["state_dict"])
        self.model.load_other_parameter(content["other_parameter"])

    def close(self) -> None:
        """Release the files that the run holds open."""
        if isinstance(self.tensorboard, SummaryWriter):
            self.tensorboard.close()


class FitEpochTrainer(Trainer):
    """For models without gradients: an epoch is one call of the model's `fit_epoch`."""

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        return self.model.fit_epoch()


class EagerAdam(torch.optim.Adam):
    """Adam without torch's compiler, which the first step of every optimizer imports.

    With `compat.optimizers_leave_the_compiler_alone` it saves 2 s and 100 MB at the start.
    """

    _plain_step = inspect.unwrap(torch.optim.Adam.step)

    @torch.no_grad()
    def step(self, closure=None):
        return self._plain_step(closure)


class DMFTrainer(Trainer):
    """Algorithm 1 with vectorised negatives: no per-row Python, no data loader.

    For models with `loss(user, item, rating, label)` and the field names `USER_ID`, `ITEM_ID` and
    `RATING` as attributes.

    A batch of `train_batch_size` instances is train_batch_size / (1 + negatives) positives, each
    with its own negatives, as RecBole's point-wise batches are.
    """

    def __init__(self, config, model):
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

    def prepare(self, train_data) -> None:
        """Take the positives and the negatives' sampler from RecBole's training loader."""
        feat = train_data._dataset.inter_feat
        device = self.model.device
        self._user = feat[self.model.USER_ID].to(device)
        self._item = feat[self.model.ITEM_ID].to(device)
        rated = self.model.RATING in feat.columns
        rating = feat[self.model.RATING] if rated else torch.ones(len(feat))
        self._rating = rating.to(device)
        args = self.config["train_neg_sample_args"]
        if args["sample_num"] == "none" or int(args["sample_num"]) < 1:
            raise UserError(
                f"{self.config['model']} needs negatives: set sample_num in train_neg_sample_args."
            )
        self._num = int(args["sample_num"])
        shape = (self.model.n_users, self.model.n_items)
        self._sampler = NegativeSampler(
            interaction_matrix(self._user.cpu().numpy(), self._item.cpu().numpy(), None, shape),
            seed=self.config["seed"],
            distribution=args["distribution"],
            alpha=args["alpha"],
            device=device,
        )
        self._generator = torch.Generator(device).manual_seed(self.config["seed"])
        self.draw_negatives()
        self._prepared = True

    def draw_negatives(self) -> None:
        """New negatives for every positive, [n_negatives, n_positives]."""
        self._negatives = self._sampler.sample(self._user, self._num)  # Alg. 1, line 6

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
            item = torch.cat([self._item[share][None], self._negatives[:, share]])
            label = torch.zeros(item.shape, device=item.device)
            label[0] = 1.0
            loss = self.model.loss(
                self._user[share],
                item.view(-1),
                self._rating[share].repeat(1 + self._num),
                label.view(-1),
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
            self.prepare(train_data)
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


def trainer_class(base: type[Trainer]) -> type[RunTrainer]:
    """`base`, RecBole's choice for a model, with `RunTrainer` in front."""
    return type(f"Run{base.__name__}", (RunTrainer, base), {})


def shows_progress(config) -> bool:
    """Whether progress bars make sense: asked for, and standard error is a terminal."""
    return bool(config["show_progress"]) and sys.stderr.isatty()
