"""The loop of a run: RecBole's, with our evaluation, history, checkpoints and guards."""

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from recbole.trainer import Trainer

from recbole_dmf.errors import DEAD, NOT_FINITE, CannotResume, UserError
from recbole_dmf.evaluation.evaluate import Counts, Phase, chosen_reading
from recbole_dmf.models.scores import scores_of
from recbole_dmf.models.sequential import with_known
from recbole_dmf.options import Config, number
from recbole_dmf.run_folder import BEFORE, CHECKPOINT, RESUME
from recbole_dmf.training import parallel
from recbole_dmf.training.base import BaseTrainer
from recbole_dmf.training.checkpoint import load_checkpoint, save_checkpoint
from recbole_dmf.training.events import EventFile
from recbole_dmf.training.resume import (
    check_resumable,
    learner_state,
    load_learner_state,
    note_attributes,
    random_states,
    set_random_states,
)
from recbole_dmf.training.run_files import (
    keep_checkpoint,
    restore_checkpoint,
    write_history,
)
from recbole_dmf.training.weight_average import WeightAverage

WRITE_SHARE = 0.05  # of the time goes into resume.pt at most; epochs shorter than that share it
_STATE = ("version", "data_sha256", "environment", "ended", "stages", "random")
_LOOP = (  # attributes of a trainer that change from epoch to epoch
    "start_epoch",
    "cur_step",
    "best_valid_score",
    "best_valid_result",
    "checkpoint_epoch",
    "history",
    "seconds",
    "earlier_seconds",
    "resumed_after",
)


class RunTrainer(BaseTrainer):
    """A RecBole trainer whose validation, checkpoints and history belong to one run's folder.

    Mixed in front of the trainer class that RecBole chooses for a model; see `trainer_class`.
    `attach` must be called before `fit`, `resume` in between to continue an unfinished run.

    While it trains, `resume.pt` holds all that changes, as it is between two epochs. A run that
    continues from it ends bit for bit as the one that was never stopped.

    Attributes:
        history: one dict per evaluated epoch, as in history.csv.
        checkpoint_epoch: epoch of the checkpoint, counted from 1; 0 before the first and while one
            is written, when a signal may find the old one or the new one in its place.
        seconds: total of training and of scoring so far, over all processes that made the run.
        earlier_seconds: that the run took in processes before this one.
        resumed_after: epochs after which it was stopped and resumed.
    """

    def attach(
        self,
        folder: Path,
        prepared: Any,
        about: dict[str, Any],
        environment: dict[str, Any],
        started: float,
    ) -> None:
        """Name the run's folder and what its epochs are measured by.

        Args:
            folder: of the run.
            prepared: the split data; its `measure` ranks validation.
            about: what the checkpoint says of the run; its `data_sha256` is the data set's.
            environment: what the last digits depend on: versions, device, threads.
            started: `time.perf_counter()` when the run began.
        """
        self.started = started
        self.folder = folder
        self.prepared = prepared
        self.about = about
        self.environment = environment
        self.saved_model_file = str(folder / CHECKPOINT)
        self.history: list[dict[str, Any]] = []
        self.checkpoint_epoch = 0
        self.seconds = {"train": 0.0, "score": 0.0}
        self.earlier_seconds = 0.0
        self.resumed_after: list[int] = []
        self.average = self._averaged()
        self._fresh = note_attributes(self.model)
        self._epoch = -1
        self._state: dict[str, Any] = {}
        self._best_of_resume = 0  # the best epoch that resume.pt speaks of
        self._next_write = 0.0

    def _averaged(self) -> WeightAverage | None:
        """The average of the weights, which follows each step, where the options ask for it."""
        if not self.config["weight_average"]:
            return None
        decay = number(self.config, "weight_average", 0, 0.99999)
        average = WeightAverage(self.model.parameters(), decay)
        self.optimizer.register_step_post_hook(lambda *_: average.update())
        return average

    def resume(self) -> None:
        """Take up the unfinished training in the run's folder, if there is any.

        Raises:
            CannotResume: it was made with other data or another version, or its files are damaged.
        """
        path = self.folder / RESUME
        if not path.is_file():
            return
        state = load_checkpoint(path)
        notes = check_resumable(
            state, {*_LOOP, *_STATE}, self.folder, self.about["data_sha256"], self.environment
        )
        for note in notes:
            self.logger.warning(note)
        if parallel.rank() == 0:
            restore_checkpoint(self.folder, state["checkpoint_epoch"])
        for name in _LOOP:
            setattr(self, name, state[name])
        if state["stages"] is not None:
            self.model.stages = state["stages"]
        self.resumed_after = [*state["resumed_after"], self.start_epoch]
        self._best_of_resume = self.checkpoint_epoch
        self._epoch = self.start_epoch - 1
        self._state = state
        self.logger.info(f"going on after epoch {self.start_epoch}")

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the best validation, from 1; None for a model that has no epochs."""
        return None if self.fitted_once else self.checkpoint_epoch

    @property
    def epochs_run(self) -> int:
        """Epochs trained so far, those before a resume and those without an evaluation included."""
        return self._epoch + 1

    def fit(self, train_data, *args, **kwargs):
        """As RecBole's `Trainer.fit`, from where `resume` has found it.

        Raises:
            UserError: the loss or the scores are not finite, or all scores are equal.
        """
        # RecBole's evaluation needs it, and not every path below comes by its `Trainer.fit`.
        self.eval_collector.data_collect(train_data)
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
                load_learner_state(self, self._state.pop("learner"), train_data)
                set_random_states(self._state["random"])
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise CannotResume(
                    f"{self.folder / RESUME} does not fit the model ({error}). Start a new run."
                ) from error
        elif epoch_idx and time.perf_counter() >= self._next_write:
            self._write_state(epoch_idx, train_data)
        start = time.perf_counter()
        self._epoch = epoch_idx
        with self.average.trained_weights() if self.average else nullcontext():
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
            state["learner"] = learner_state(self, train_data, self._fresh)
        save_checkpoint(self.folder / RESUME, state)
        self._best_of_resume = self.checkpoint_epoch
        (self.folder / BEFORE).unlink(missing_ok=True)
        now = time.perf_counter()
        self._next_write = now + (now - start) / WRITE_SHARE

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
        with with_known(self.model, phase.known):
            counts = phase.count(scores_of(self.model, phase.n_items, phase.n_earlier))
        self._check_alive(counts)
        return counts

    def _valid_epoch(self, valid_data, show_progress=False):
        start = time.perf_counter()
        result = self.prepared.measure(self, "valid")
        seconds = time.perf_counter() - start
        self.seconds["score"] += seconds
        chosen = chosen_reading(result, self.config["valid_reading"])
        score = chosen[self.config["valid_metric"].lower()]
        row = {
            "epoch": self._epoch + 1,
            "train_loss": self._train_loss,
            "train_seconds": self._train_seconds,
            "valid_seconds": seconds,
        }
        for reading, values in result.items():
            for name, value in values.items():
                row[f"valid_{name}_{reading}"] = value
                self.tensorboard.add_scalar(f"valid_{reading}/{name}", value, self._epoch + 1)
        self._record(row)
        best = score >= self.best_valid_score
        shown = "  ".join(f"{k} {v:.4f}" for k, v in chosen.items())
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
        if not self.learns_by_gradient:
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
            write_history(self.folder, self.history)

    def _save_checkpoint(self, epoch, verbose=True, **kwargs):
        if parallel.rank() == 0:
            path = Path(self.saved_model_file)
            if self.checkpoint_epoch and self.checkpoint_epoch == self._best_of_resume:
                keep_checkpoint(self.folder)
                self._best_of_resume = 0
            content = {
                **self.about,
                "epoch": epoch + 1,
                "state_dict": dict(self.model.state_dict()),
                "other_parameter": self.model.other_parameter(),
            }
            self.checkpoint_epoch = 0
            save_checkpoint(path, content)
        self.checkpoint_epoch = epoch + 1

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


def trainer_class(base: type[Trainer]) -> type[RunTrainer]:
    """`base`, RecBole's choice for a model, with `RunTrainer` in front."""
    return type(f"Run{base.__name__}", (RunTrainer, base), {})


def shows_progress(config: Config) -> bool:
    """Whether progress bars make sense: asked for, and standard error is a terminal."""
    return bool(config["show_progress"]) and sys.stderr.isatty()
