"""DMF's epoch: the same with any number of threads, and to the last bit with as many."""

import pytest
import torch

from recbole_dmf.host import lookup
from recbole_dmf.training.algorithm1 import SINGLE_THREAD_BATCH, DMFTrainer


@pytest.fixture
def weights_after(ready):
    def train(threads: int) -> dict[str, torch.Tensor]:
        batch_size = 2 * SINGLE_THREAD_BATCH
        config, prepared, model = ready(init="xavier", train_batch_size=batch_size)
        trainer = DMFTrainer(config, model)
        loader = lookup.train_loader(config, prepared.train, prepared.sampler)
        torch.set_num_threads(threads)
        for epoch in range(3):
            trainer._train_epoch(loader, epoch)
        return {name: value.clone() for name, value in model.state_dict().items()}

    yield train
    torch.set_num_threads(1)


def test_threads_change_nothing_but_rounding(weights_after):
    one, two, again = (weights_after(threads) for threads in (1, 2, 2))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4)
        assert torch.equal(two[name], again[name])
