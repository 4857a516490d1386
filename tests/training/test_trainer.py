"""DMF's epoch: the same with any number of threads, and to the last bit with as many."""

import pytest
import torch

from recbole_dmf.host import lookup
from recbole_dmf.training import algorithm1
from recbole_dmf.training.algorithm1 import SINGLE_THREAD_BATCH, DMFTrainer


def set_up(ready, **options):
    """A trainer and its loader."""
    config, prepared, model = ready(init="xavier", **options)
    trainer = DMFTrainer(config, model)
    loader = lookup.train_loader(config, prepared.train, prepared.sampler)
    trainer.set_up(loader)
    return trainer, loader


@pytest.fixture
def weights_after(ready):
    def train(threads: int) -> dict[str, torch.Tensor]:
        trainer, loader = set_up(ready, train_batch_size=2 * SINGLE_THREAD_BATCH)
        torch.set_num_threads(threads)
        for epoch in range(3):
            trainer._train_epoch(loader, epoch)
        return {name: value.clone() for name, value in trainer.model.state_dict().items()}

    yield train
    torch.set_num_threads(1)


def test_threads_change_nothing_but_rounding(weights_after):
    one, two, again = (weights_after(threads) for threads in (1, 2, 2))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4)
        assert torch.equal(two[name], again[name])


@pytest.mark.parametrize("gathered", [1, 100, 10**9])  # a batch at a time, some, all
def test_an_epoch_has_each_positive_once_with_its_negatives(ready, monkeypatch, gathered):
    trainer, _ = set_up(ready, train_batch_size=56, recent_items=2)
    monkeypatch.setattr(algorithm1, "GATHERED", gathered)
    state = trainer._generator.get_state()
    batches = list(trainer.batches())
    order = torch.randperm(len(trainer._user), generator=trainer._generator.set_state(state))
    assert len(batches) == trainer.n_batches == len(order.split(7))
    assert len(order) % 7  # the last one is smaller
    for batch, rows in zip(batches, order.split(7), strict=True):
        user, item, rating, label, n_earlier = batch.instances
        item, rating, label = (column.view(8, -1) for column in (item, rating, label))
        assert batch.n_positives == len(rows)
        assert torch.equal(user, trainer._user[rows])
        assert torch.equal(item, torch.cat([trainer._item[None], trainer.negatives])[:, rows])
        assert torch.equal(rating[0], trainer._rating[rows])
        assert label[0].all()
        assert not label[1:].any()
        assert torch.equal(n_earlier, trainer._n_earlier[rows])


def test_one_pass_trains_as_the_graph_does(ready, monkeypatch):
    losses = []
    for takes in (algorithm1.takes_one_pass, lambda model, item: False):
        monkeypatch.setattr(algorithm1, "takes_one_pass", takes)
        trainer, loader = set_up(ready, learning_rate=0.01)
        losses.append([trainer._train_epoch(loader, epoch) for epoch in range(4)])
        losses[-1] += [parameter.detach() for parameter in trainer.model.parameters()]
    assert losses[0][3] < losses[0][0]
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-5)
