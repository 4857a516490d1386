"""All scores of a model, and all pairs to score."""

import torch


def all_scores(model):
    users = {model.USER_ID: torch.arange(model.n_users)}
    return model.full_sort_predict(users).view(model.n_users, -1)


def all_pairs(model):
    user = torch.arange(model.n_users).repeat_interleave(model.n_items)
    item = torch.arange(model.n_items).repeat(model.n_users)
    return {model.USER_ID: user, model.ITEM_ID: item}
