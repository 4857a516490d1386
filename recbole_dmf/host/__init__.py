"""All that knows RecBole's insides: where it looks things up, and what is put right there."""

import torch

_before = torch.is_anomaly_enabled()
import recbole.model.sequential_recommender  # noqa: E402, F401

# sequential_recommender/sine.py:25 turns it on for the whole process, which slows all training.
torch.autograd.set_detect_anomaly(_before)
