"""What the run's loop asks of a trainer, with the answers that suit RecBole's own."""

from typing import Any

from recbole.trainer import Trainer
from recbole.utils import ModelType

from recbole_dmf.options import Config
from recbole_dmf.training.weight_average import WeightAverage


class BaseTrainer(Trainer):
    """RecBole's Trainer and what `RunTrainer` has to know of the way in which a model learns.

    Attributes:
        data_parallel: whether several processes can train one model together.
        average: of the weights; None: the last ones are judged and kept.
    """

    data_parallel = False
    average: WeightAverage | None = None
    eval_step: int

    def __init__(self, config: Config, model):
        super().__init__(config, model)
        if self.fitted_once:  # whatever the options say, as RecBole's TraditionalTrainer
            self.epochs = 1
            self.eval_step = min(self.eval_step, 1)

    @property
    def fitted_once(self) -> bool:
        """Whether the model has no epochs: counting and solving need no second step."""
        return self.config["MODEL_TYPE"] == ModelType.TRADITIONAL

    @property
    def learns_by_gradient(self) -> bool:
        """Whether a model that gives every item the same score has stopped learning."""
        return not self.fitted_once

    def own_state(self) -> dict[str, Any]:
        """What RecBole's trainers do not have and the next epochs depend on."""
        return {}

    def load_own_state(self, state: dict[str, Any], train_data) -> None:
        """Inverse of `own_state`, before the first epoch."""
