"""RecBole's training loop with our evaluation, history and checkpoints, and DMF's fast epoch."""

import csv
import inspect
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from recbole.trainer import Trainer
from recbole.utils import ModelType
from tqdm import tqdm

from recbole_dmf.data.history import N_EARLIER
from recbole_dmf.data.interactions import interaction_matrix
from recbole_dmf.data.negatives import NegativeSampler
from recbole_dmf.errors import DEAD, NOT_FINITE, CannotGoOn, UserError
from recbole_dmf.evaluation.evaluate import Counts, Phase, summarise
from recbole_dmf.evaluation.metrics import READINGS
from recbole_dmf.evaluation.scores import all_scores
from recbole_dmf.files import atomic_path
from recbole_dmf.run_folder import BEFORE, CHECKPOINT, HISTORY, RESUME
from recbole_dmf.training import parallel
from recbole_dmf.training.checkpoint import load_checkpoint, save_checkpoint
from recbole_dmf.training.events import EventFile
from recbole_dmf.training.resume import (
    changed_attributes,
    note_attributes,
    random_states,
    set_attributes,
    set_random_states,
)
from recbole_dmf.version import __version__

WRITE_SHARE = 0.05  # of the time goes into resume.pt at most; epochs shorter than that share it
_STATE = ("version", "data_sha256", "environment", "ended", "stages", "random")
_LOOP = (  # attributes of a trainer that change from epoch to epoch
    "start_epoch",
    "cur_step",
    "best_valid_score",
    "best_valid_result",
    "best_epoch",
    "history",
    "seconds",
    "earlier_seconds",
    "resumed_after",
)
SINGLE_THREAD_BATCH = 4096


class RunTrainer(Trainer):
    """A RecBole trainer whose validation, checkpoints and history belong to one run's folder.

    Mixed in front of the trainer class that RecBole chooses for a model; see `trainer_class`.
    `attach` must be called before `fit`, `resume` in between to go on with an unfinished run.

    While it trains, `resume.pt` holds all that changes, as it is between two epochs. A run that
    goes on from it ends bit for bit as the one that was never stopped.

    Attributes:
        history: one dict per evaluated epoch, as in history.csv.
        best_epoch: epoch of the checkpoint, counted from 1; 0 before the first.
        seconds: total of training and of scoring so far, over all processes that made the run.
        earlier_seconds: that the run took in processes before this one.
        resumed_after: epochs after which it was stopped and went on.
    """

    def attach(
        self,
        folder: Path,
        valid: Phase,
        about: dict[str, Any],
        environment: dict[str, Any],
        started: float,
    ) -> None:
        """Name the run's folder and its validation phase.

        Args:
            folder: of the run.
            valid: the validation phase.
            about: what the checkpoint says of the run; its `data_sha256` is the data set's.
            environment: what the last digits depend on: versions, device, threads.
            started: `time.perf_counter()` when the run began.
        """
        self.started = started
        self.folder = folder
        self.valid_phase = valid
        self.about = about
        self.environment = environment
        self.saved_model_file = str(folder / CHECKPOINT)
        self.history: list[dict[str, Any]] = []
        self.best_epoch = 0
        self.seconds = {"train": 0.0, "score": 0.0}
        self.earlier_seconds = 0.0
        self.resumed_after: list[int] = []
        self.metrics = [metric.lower() for metric in self.config["metrics"]]
        self.valid_reading = self.config["valid_reading"]
        self._fresh = note_attributes(self.model)
        self._epoch = -1
        self._state: dict[str, Any] = {}
        self._best_of_resume = 0  # the best epoch that resume.pt speaks of
        self._next_write = 0.0

    def resume(self) -> None:
        """Take up the unfinished training in the run's folder, if there is any.

        Raises:
            CannotGoOn: it was made with other data or another version, or its files are damaged.
        """
        path = self.folder / RESUME
        if not path.is_file():
            return
        state = load_checkpoint(path)
        if missing := {*_LOOP, *_STATE}.difference(state):
            raise CannotGoOn(f"{path} is damaged: it lacks {', '.join(sorted(missing))}.")
        if state["version"] != __version__:
            raise CannotGoOn(
                f"{self.folder} cannot go on: recbole-dmf {state['version']} began it, and this is "
                f"{__version__}. Go on with that version, or start a new run."
            )
        if state["data_sha256"] != self.about["data_sha256"]:
            raise CannotGoOn(
                f"{self.folder} cannot go on: the interactions or their split are no longer those "
                "that it was begun with. Put the data set's files back, or start a new run."
            )
        for name, now in self.environment.items():
            before = state["environment"].get(name)
            if before != now and name == "device":
                raise CannotGoOn(f"{self.folder} was made on {before}, not on {now}; go on there.")
            if before != now:
                self.logger.warning(
                    f"{name} was {before}, is {now}: the last digits may differ from those of a "
                    "run that was not stopped."
                )
        if parallel.rank() == 0:
            self._find_best(state["best_epoch"])
        for name in _LOOP:
            setattr(self, name, state[name])
        if state["stages"] is not None:
            self.model.stages = state["stages"]
        self.resumed_after = [*state["resumed_after"], self.start_epoch]
        self._best_of_resume = self.best_epoch
        self._epoch = self.start_epoch - 1
        self._state = state
        self.logger.info(f"going on after epoch {self.start_epoch}")

    @property
    def epochs_run(self) -> int:
        """Epochs trained so far, those before a resume and those without an evaluation included."""
        return self._epoch + 1

    def _find_best(self, epoch: int) -> None:
        """Make model.pt the checkpoint of `epoch`, and the only one.

        It is of a later epoch where the process was killed before it could write resume.pt anew.
        """
        best, before = self.folder / CHECKPOINT, self.folder / BEFORE
        if epoch and not _is_of(best, epoch):
            if not _is_of(before, epoch):
                raise CannotGoOn(
                    f"{self.folder} cannot go on: {CHECKPOINT} is not that of epoch {epoch}, which "
                    "was the best one. Start a new run."
                )
            before.replace(best)
        before.unlink(missing_ok=True)

    def fit(self, train_data, *args, **kwargs):
        """As RecBole's `Trainer.fit`, from where `resume` has found it.

        Raises:
            UserError: the loss or the scores are not finite, or all scores are equal.
        """
        if not self._state.get("ended"):
            if parallel.rank() == 0:
                hidden = self.start_epoch + 1 if self._state else None  # epochs made once more
                self.tensorboard = EventFile(self.folder / "tensorboard", hidden)
            super().fit(train_data, *args, **kwargs)
            self._write_state(self.epochs_run, ended=True)
        else:
            set_random_states(self._state["random"])
        return self.best_valid_score, self.best_valid_result

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        if "learner" in self._state:
            try:
                self._load_learner(self._state.pop("learner"), train_data)
                set_random_states(self._state["random"])
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise CannotGoOn(
                    f"{self.folder / RESUME} does not fit the model ({error}). Start a new run."
                ) from error
        elif epoch_idx and time.perf_counter() >= self._next_write:
            self._write_state(epoch_idx, train_data)
        start = time.perf_counter()
        self._epoch = epoch_idx
        loss = super()._train_epoch(train_data, epoch_idx, loss_func, show_progress)
        self._train_seconds = time.perf_counter() - start
        self.seconds["train"] += self._train_seconds
        self._train_loss = sum(loss) if isinstance(loss, tuple) else loss
        self._check_nan(torch.tensor(self._train_loss))
        return loss

    def _write_state(self, epochs: int, train_data=None, ended: bool = False) -> None:
        """Write resume.pt after `epochs` epochs; without the learner if the training has ended."""
        if parallel.rank():
            return
        start = time.perf_counter()
        state = {
            "data_sha256": self.about["data_sha256"],
            "environment": self.environment,
            "ended": ended,
            **{name: getattr(self, name) for name in _LOOP},
            "start_epoch": epochs,
            "earlier_seconds": self.total_seconds(),
            "stages": getattr(self.model, "stages", None),
            "random": random_states(),  # some models draw when they score as well
        }
        if not ended:
            state["learner"] = self._learner(train_data)
        save_checkpoint(self.folder / RESUME, state)
        self._best_of_resume = self.best_epoch
        (self.folder / BEFORE).unlink(missing_ok=True)
        now = time.perf_counter()
        self._next_write = now + (now - start) / WRITE_SHARE

    def _learner(self, train_data) -> dict[str, Any]:
        """All that changes with training, apart from `_LOOP`."""
        return {
            "state_dict": dict(self.model.state_dict()),
            "other_parameter": self.model.other_parameter(),
            "attributes": changed_attributes(self.model, self._fresh),
            "optimizers": {name: o.state_dict() for name, o in self._optimizers().items()},
            "generators": [g.get_state() for g in self._generators(train_data)],
            "own": self.own_state() if isinstance(self, DMFTrainer) else None,
        }

    def _load_learner(self, learner: dict[str, Any], train_data) -> None:
        """Inverse of `_learner`."""
        if isinstance(self, DMFTrainer):
            self.load_own_state(learner["own"], train_data)
        self.model.load_state_dict(learner["state_dict"])
        self.model.load_other_parameter(learner["other_parameter"])
        set_attributes(self.model, learner["attributes"], self.device)
        for name, optimizer in self._optimizers().items():
            if name in learner["optimizers"]:
                optimizer.load_state_dict(learner["optimizers"][name])
        for generator, state in zip(
            self._generators(train_data), learner["generators"], strict=True
        ):
            generator.set_state(state)

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """By attribute; of those with several names the most telling one."""
        found = {k: v for k, v in vars(self).items() if isinstance(v, torch.optim.Optimizer)}
        others = [v for k, v in found.items() if k != "optimizer"]
        return {
            k: v for k, v in found.items() if k != "optimizer" or not any(v is o for o in others)
        }

    def _generators(self, train_data) -> list[torch.Generator]:
        """Those that RecBole's loader shuffles and draws negatives with."""
        sampler = train_data._sampler
        drawing = [sampler.generator] if isinstance(sampler, NegativeSampler) else []
        return [train_data.generator, *drawing]

    def _check_nan(self, loss) -> None:
        if not torch.isfinite(loss):
            raise UserError(
                f"the training loss of epoch {self._epoch + 1} is {loss.item():g}. "
                f"{self._advice(NOT_FINITE)}",
                exit_code=NOT_FINITE,
            )

    def _advice(self, problem: int) -> str:
        """What to change where a model diverges or dies."""
        remedies = ["a smaller learning_rate"]
        if self.config["init"] == "normal":
            remedies.append("init: xavier")
        if problem == DEAD and self.config["output_activation"] == "relu":
            remedies.append("output_activation: linear")
        if problem == NOT_FINITE and self.config["similarity"] in ("cosine", "dot"):
            remedies.append("similarity: scaled_cosine")
        return f"Try {', or '.join(remedies)}."

    def count(self, phase: Phase) -> Counts:
        """Rank the targets of a phase with the model as it is now."""
        self.model.eval()

        def scores(user: torch.Tensor) -> torch.Tensor:
            n_earlier = None if phase.n_earlier is None else phase.n_earlier[user]
            return all_scores(self.model, user, phase.n_items, n_earlier)

        return phase.count(scores)

    def _valid_epoch(self, valid_data, show_progress=False):
        start = time.perf_counter()
        counts = self.count(self.valid_phase)
        self._check_alive(counts)
        result = summarise(counts, self.metrics, self.config["topk"])
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

    def _check_alive(self, counts: Counts) -> None:
        """Raise if a model that learns by gradients gives every user the same score everywhere.

        A ReLU layer that is 0 for every input stays so. Models that count or solve are left alone:
        where all items are equally popular, equal scores are right.
        """
        if self.config["MODEL_TYPE"] == ModelType.TRADITIONAL or isinstance(self, FitEpochTrainer):
            return
        level = counts.full_tied == counts.n_unseen
        if level.all() and counts.n_unseen.any():
            raise UserError(
                f"after epoch {self._epoch + 1} the model gives every item the same score (a dead "
                f"tower): it has stopped learning. {self._advice(DEAD)}",
                exit_code=DEAD,
            )

    def _record(self, row: dict[str, Any]) -> None:
        self.history.append(row)
        if parallel.rank() == 0:
            self._write_history()

    def _write_history(self) -> None:
        with (
            atomic_path(self.folder / HISTORY) as temporary,
            temporary.open("w", newline="") as file,
        ):
            writer = csv.DictWriter(file, list(self.history[0]))
            writer.writeheader()
            writer.writerows(self.history)

    def _save_checkpoint(self, epoch, verbose=True, **kwargs):
        if parallel.rank() == 0:
            path = Path(self.saved_model_file)
            if self.best_epoch and self.best_epoch == self._best_of_resume:
                _keep_as(path, self.folder / BEFORE)
                self._best_of_resume = 0
            content = {
                **self.about,
                "epoch": epoch + 1,
                "state_dict": dict(self.model.state_dict()),
                "other_parameter": self.model.other_parameter(),
            }
            save_checkpoint(path, content)
        self.best_epoch = epoch + 1

    def load_best(self) -> None:
        """Put the checkpoint's parameters back into the model."""
        parallel.wait()
        content = load_checkpoint(Path(self.saved_model_file), self.device)
        self.model.load_state_dict(content["state_dict"])
        self.model.load_other_parameter(content["other_parameter"])

    def total_seconds(self) -> float:
        """Seconds from the start of the run, without those between its processes."""
        return self.earlier_seconds + time.perf_counter() - self.started

    def close(self) -> None:
        """Release the files that the run holds open."""
        if isinstance(self.tensorboard, EventFile):
            self.tensorboard.close()


def _keep_as(path: Path, name: Path) -> None:
    """Give a file a second name, so that it stays when another one takes its place."""
    try:
        os.link(path, name)
    except OSError:  # a file system without links
        with atomic_path(name) as temporary:
            shutil.copyfile(path, temporary)


def _is_of(path: Path, epoch: int) -> bool:
    return path.is_file() and load_checkpoint(path).get("epoch") == epoch


class FitEpochTrainer(Trainer):
    """For models without gradients: an epoch is one call of the model's `fit_epoch`."""

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        return self.model.fit_epoch()


class EagerAdam(torch.optim.Adam):
    """Adam without torch's compiler, which the first step of every optimizer imports.

    With `compat.optimizers_leave_the_compiler_alone` it saves 1.4 s and 70 MB at the start.
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
        self._n_earlier = feat[N_EARLIER].to(device) if N_EARLIER in feat.columns else None
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

    def own_state(self) -> dict[str, Any]:
        """What RecBole's trainers do not have and the next epochs depend on."""
        return {
            "order": self._generator.get_state(),
            "sampler": self._sampler.generator.get_state(),
            "negatives": self._negatives if self.config["sampling"] == "once" else None,
        }

    def load_own_state(self, state: dict[str, Any], train_data) -> None:
        """Inverse of `own_state`, before the first epoch."""
        self.prepare(train_data)
        self._generator.set_state(state["order"])
        self._sampler.generator.set_state(state["sampler"])
        if state["negatives"] is not None:
            self._negatives = state["negatives"].to(self._negatives.device)

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
