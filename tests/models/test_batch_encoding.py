"""The fast path of a training batch against `DMF.forward`, pair by pair."""

import pytest
import torch

from recbole_dmf.models.batch_encoding import batch_similarities, distinct


@pytest.mark.parametrize("n", [1, 5, 30, 200])
def test_distinct_rows_and_places_give_the_batch_back(n):
    ids = torch.randint(40, (n,), generator=torch.Generator().manual_seed(n))
    rows, place = distinct(ids, 40)
    rows = torch.arange(40) if rows is None else rows
    assert torch.equal(rows if place is None else rows[place], ids)
    assert place is None or len(rows) in (40, len(rows.unique()))


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("recent_items", [0, 3])
@pytest.mark.parametrize("n", [1, 4, 30, 400])  # few rows, some of them several times, all of them
def test_a_batch_has_the_similarities_of_its_pairs(ready, similarity, recent_items, n):
    model = ready(similarity=similarity, recent_items=recent_items, init="xavier")[2].double()
    generator = torch.Generator().manual_seed(n)
    user = torch.randint(1, model.n_users, (n,), generator=generator)
    item = torch.randint(1, model.n_items, (3 * n,), generator=generator)
    n_earlier = torch.randint(0, 9, (n,), generator=generator) if recent_items else None
    found = batch_similarities(model, user, item, None, n_earlier)
    repeated = None if n_earlier is None else n_earlier.repeat(3)
    expected = model(user.repeat(3), item, repeated)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)

    weight = torch.randn(3 * n, dtype=torch.float64, generator=generator)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad((found * weight).sum(), parameters)
    plain = torch.autograd.grad((expected * weight).sum(), parameters)
    for one, other in zip(gradients, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
