"""Training of NeuMF with pretraining: He et al., "Neural Collaborative Filtering", WWW 2017."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recbole_dmf.models.neumf_pretrained import STAGES
from recbole_dmf.training.algorithm1 import DMFTrainer


class NeuMFpTrainer(DMFTrainer):
    """The stages of Sec. 3.4.1 one after the other, each from the best epochs of those before.

    1. `gmf` and 2. `mlp`: alone, with Adam, up to `pretrain_epochs` epochs each;
    3. `joined`: one epoch with learning rate 0, so that the joined network is validated as it is;
    4. `fine_tuned`: up to `epochs` epochs with the configured learner.

    Epochs are counted through; early stopping (`stopping_step`) works within a stage. The best
    epoch of stages 3 and 4 is the result. The model's `stages` gets a dict for each stage: `name`,
    `first_epoch`, `last_epoch` and `best_epoch` (from 1), and `valid_score` at the best one; the
    last two are None where no epoch was validated.
    """

    best_valid_score: float
    best_valid_result: dict[str, Any] | None
    optimizer: torch.optim.Optimizer
    cur_step: int
    start_epoch: int

    def fit(
        self,
        train_data,
        valid_data=None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Callable[[int, float], None] | None = None,
    ) -> tuple[float, dict[str, Any] | None]:
        """As RecBole's `Trainer.fit`, over all stages; from within one if `start_epoch` is set."""
        pretrain, fine_tune = self.config["pretrain_epochs"], self.config["epochs"]
        sign = 1 if self.valid_metric_bigger else -1
        if not self.start_epoch:
            self.model.stages = []
        begun = [about["name"] for about in self.model.stages]
        self._best: dict[str, Tensor] = {}

        def evaluated(epoch: int, score: float) -> None:
            about = self.model.stages[-1]
            known = about["valid_score"]
            if known is None or sign * score >= sign * known:
                about.update(best_epoch=epoch + 1, valid_score=score)
            if self.cur_step == 0:  # RecBole's early stopping calls this epoch the best so far
                self._best = {k: v.clone() for k, v in self.model.state_dict().items()}
            if callback_fn:
                callback_fn(epoch, score)

        for stage, epochs in zip(STAGES, (pretrain, pretrain, 1, fine_tune), strict=True):
            if not epochs or stage in begun[:-1]:
                continue
            self.model.begin(stage)
            self.optimizer = self._optimizer_of(stage)
            if stage not in begun:
                self._begin(stage, -sign * math.inf)
            self.epochs = self.model.stages[-1]["first_epoch"] - 1 + epochs
            self.eval_step = min(self.config["eval_step"], epochs)
            self.logger.info(f"stage {stage}")
            super().fit(train_data, valid_data, verbose, saved, show_progress, evaluated)
            self.model.stages[-1]["last_epoch"] = self.start_epoch = self.epochs_run
            if self._best:
                self.model.load_state_dict(self._best)
        return self.best_valid_score, self.best_valid_result

    def _begin(self, stage: str, worst: float) -> None:
        if stage == "joined":
            self.model.join()
        if stage != "fine_tuned":  # that one has to do better than the joined network
            self.best_valid_score, self.best_valid_result = worst, None
            self._best = {}
        self.cur_step = 0
        about = {"name": stage, "first_epoch": self.start_epoch + 1}
        self.model.stages.append({**about, "best_epoch": None, "valid_score": None})

    def own_state(self) -> dict[str, Any]:
        """As DMFTrainer's, and the best parameters of the stage."""
        return {**super().own_state(), "best": self._best}

    def load_own_state(self, state: dict[str, Any], train_data) -> None:
        """Inverse of `own_state`, before the first epoch."""
        super().load_own_state(state, train_data)
        self._best = {k: v.to(self.device) for k, v in state["best"].items()}

    def _optimizer_of(self, stage: str) -> torch.optim.Optimizer:
        parameters = self.model.parameters_of(stage)
        if stage == "joined":
            return torch.optim.SGD(parameters, lr=0.0)
        alone = stage != "fine_tuned"
        if not alone and self.learner.lower() != "adam":
            return self._build_optimizer(params=parameters)
        return torch.optim.Adam(
            parameters,
            lr=self.config["pretrain_learning_rate"] if alone else self.learning_rate,
            weight_decay=self.weight_decay,
            fused=True,
        )
