"""An epoch over whole sequences."""

import torch
from recbole.trainer import Trainer
from torch import nn
from tqdm import tqdm

from recbole_dmf.models.sasrec import START


class SASRecTrainer(Trainer):
    """An epoch of SASRec: whole sequences, without RecBole's loader."""

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        self.model.train()
        total, n = torch.zeros((), device=self.device), 0
        size = max(1, self.config["train_batch_size"] // self.model.max_length)
        bar = tqdm(
            self.model.batches(size),
            desc=f"epoch {epoch_idx + 1}",
            disable=not show_progress,
            leave=False,
        )
        for item, target in bar:
            self.optimizer.zero_grad()
            loss = self.model.loss(item, target)
            loss.backward()
            if self.clip_grad_norm:
                nn.utils.clip_grad_norm_(self.model.parameters(), **self.clip_grad_norm)
            self.optimizer.step()
            counted = int((target != START).sum())
            total += loss.detach() * counted
            n += counted
        return float(total) / max(1, n)
