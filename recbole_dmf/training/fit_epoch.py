"""Training of the models without gradients: ItemPop, ItemKNN, EASE and eALS."""

from recbole_dmf.training.base import BaseTrainer


class FitEpochTrainer(BaseTrainer):
    """An epoch is one call of the model's `fit_epoch`."""

    @property
    def learns_by_gradient(self) -> bool:
        """No; where all items are equally popular, equal scores are right."""
        return False

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        return self.model.fit_epoch()
