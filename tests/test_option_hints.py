"""Options that others know, or that need something more: each message says what to do."""

import importlib.util
from pathlib import Path

import pytest
import torch

from recbole_dmf import config as config_module
from recbole_dmf.config import build_config
from recbole_dmf.errors import UserError
from recbole_dmf.host.properties import recbole_properties
from recbole_dmf.literals import literal
from recbole_dmf.options import INSTEAD
from recbole_dmf.run import run_recbole


@pytest.mark.parametrize("name", INSTEAD)
def test_options_that_are_not_known_any_more(name):
    with pytest.raises(UserError, match=f"unknown option '{name}' in the options; ") as error:
        build_config("DMF", "ml-100k", None, {name: 1})
    assert INSTEAD[name] in str(error.value)


def test_every_option_of_recboles_dmf_has_a_counterpart():
    names = set(recbole_properties("model", "DMF"))
    assert names - set(build_config("BPR", "ml-100k").final_config_dict) <= set(INSTEAD)
    options = {"user_hidden_size_list": [32]}
    assert build_config("RecBoleDMF", "ml-100k", None, options)["user_hidden_size_list"] == [32]


@pytest.mark.parametrize("name", [n for n, text in INSTEAD.items() if "write" in text])
def test_what_is_written_instead_is_known(name):
    """The advice itself is a valid option."""
    text = INSTEAD[name].partition("write ")[2].replace("eval_args, for example", "eval_args:")
    option, _, value = text.partition(": ")
    build_config("BPR", "ml-100k", None, {option: literal(value)})


def test_neumf_without_the_parts_it_is_put_together_from(tiny, tmp_path):
    options = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path), "epochs": 1}
    both = r"use_pretrain: True needs mf_pretrain_path and mlp_pretrain_path: train NeuMF once with"
    with pytest.raises(UserError, match=both):
        build_config("NeuMF", "tiny", None, {**options, "use_pretrain": True})
    given = {**options, "use_pretrain": True, "mf_pretrain_path": "a.pt"}
    with pytest.raises(UserError, match=r"needs mlp_pretrain_path: .*or take the model NeuMFp"):
        build_config("NeuMF", "tiny", None, given)
    paths = {}
    for part, other in (("mf", "mlp"), ("mlp", "mf")):  # as the message says
        found = run_recbole("NeuMF", "tiny", config_dict={**options, f"{other}_train": False})
        paths[f"{part}_pretrain_path"] = f"{found['folder']}/model.pt"
    config = build_config("NeuMF", "tiny", None, {**options, "use_pretrain": True, **paths})
    from recbole_dmf.host.lookup import find_model, load_dataset
    from recbole_dmf.prepare import prepare

    model = find_model("NeuMF")(config, prepare(config, load_dataset(config)).train)
    mf, mlp = (torch.load(path, weights_only=True)["state_dict"] for path in paths.values())
    assert torch.equal(model.user_mf_embedding.weight, mf["user_mf_embedding.weight"])
    assert torch.equal(model.item_mlp_embedding.weight, mlp["item_mlp_embedding.weight"])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("ConvNCF", {"train_method": "after_pretrain"}, "needs pre_model_path: name the file"),
        ("RaCT", {"train_stage": "critic_pretrain"}, "train_stage: actor_pretrain first"),
        ("RaCT", {"train_stage": "finetune"}, "train_stage: critic_pretrain first"),
    ],
)
def test_other_stages_need_the_one_before(model, options, message):
    with pytest.raises(UserError, match=message):
        build_config(model, "ml-100k", None, options)


def test_wandb_needs_its_package(monkeypatch):
    there = Path(importlib.util.find_spec("json").origin)
    monkeypatch.setattr(config_module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"log_wandb needs the package wandb; install it \(pip"):
        build_config("BPR", "ml-100k", None, {"log_wandb": True})
    assert build_config("BPR", "ml-100k")["log_wandb"] is False
    monkeypatch.setattr(config_module, "find_spec", lambda name: there)
    assert build_config("BPR", "ml-100k", None, {"log_wandb": True})["log_wandb"] is True
