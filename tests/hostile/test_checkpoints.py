"""Checkpoints and pickles made to run code or to fill the memory."""

import io
import pickle
import tarfile

import numpy as np
import pytest
import torch

from hostile_trial import TINY, Bomb, bait, cases_of, checkpoint, run, trial


@bait("cannot be read as a checkpoint")
def bare_pickle(here):
    (here / "model.pt").write_bytes(pickle.dumps(Bomb()))
    return ["recommend", "--checkpoint=model.pt", "--user=1"]


@bait("cannot be read as a checkpoint.*import-checkpoint")
def pickle_in_a_torch_file(here):
    torch.save({"format": 1, "config": Bomb()}, here / "model.pt")
    return ["recommend", "--checkpoint=.", "--user=1"]


@bait("cannot be read as a checkpoint")
def pickle_in_a_torch_file_to_export(here):
    torch.save({"format": 1, "state_dict": Bomb()}, here / "model.pt")
    return ["export", "--checkpoint=model.pt", "--output=out"]


@bait("cannot be read as a checkpoint")
def pickle_in_an_old_torch_file(here):
    torch.save([Bomb()], here / "model.pt", _use_new_zipfile_serialization=False)
    return ["recommend", "--checkpoint=model.pt", "--user=1"]


@bait("cannot be read as a checkpoint")
def pickle_in_a_tar_file(here):
    with tarfile.open(here / "model.pt", "w") as archive:
        for name in ("pickle", "storages", "tensors"):
            data = pickle.dumps(Bomb())
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return ["recommend", "--checkpoint=model.pt", "--user=1"]


@bait("cannot be read as a checkpoint")
def module_pickled_whole(here):
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), here / "model.pt")
    return ["recommend", "--checkpoint=model.pt", "--user=1"]


@bait("cannot be read as a checkpoint")
def torchscript(here):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(here / "model.pt"))
    return ["recommend", "--checkpoint=model.pt", "--user=1"]


@bait("is not loaded: .*any code|runs whatever code")
def recboles_checkpoint_without_trust(here):
    torch.save({"config": Bomb(), "state_dict": {}}, here / "model.pth")
    return ["import-checkpoint", "model.pth", "--output=out"]


@bait("is no file of plain tensors")
def checkpoint_that_names_a_pickle(here):
    torch.save({"state_dict": Bomb()}, here / "pre.pth")
    names = {"mf_pretrain_path": "pre.pth", "mlp_pretrain_path": "pre.pth", "use_pretrain": True}
    sizes = {"mf_embedding_size": 2, "mlp_embedding_size": 2, "mlp_hidden_size": [2]}
    more = {"dropout_prob": 0.0, "mf_train": True, "mlp_train": True, "LABEL_FIELD": "label"}
    fields = {"USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "NEG_PREFIX": "neg_"}
    settings = {**names, **sizes, **more, **fields, "RATING_FIELD": "rating"}
    return checkpoint(here, model="NeuMF", settings=settings)


@bait("cannot be read as a checkpoint|damaged")
def checkpoint_of_a_tensor_larger_than_its_file(here):
    content = {"format": 1, "train": torch.zeros(1).expand(1 << 40)}
    torch.save(content, here / "model.pt")
    return ["recommend", "--checkpoint=model.pt", "--user=1"]


@bait("cannot be read as a checkpoint|damaged")
def checkpoint_of_a_matrix_larger_than_the_memory(here):
    one = torch.zeros(1, dtype=torch.int64)
    matrix = {"__scipy_sparse__": ["csr", [1 << 40, 2], one, one, torch.ones(1)]}
    torch.save({"format": 1, "train": matrix}, here / "model.pt")
    return ["recommend", "--checkpoint=model.pt", "--user=1"]


@bait("lacks model")
def checkpoint_of_billions_of_values(here):
    value = [1]
    for _ in range(60):
        value = [value, value]
    torch.save({"format": 1, "x": value}, here / "model.pt")
    return ["recommend", "--checkpoint=model.pt", "--user=1"]


@bait("cannot be read as a checkpoint")
def checkpoint_that_holds_itself(here):
    value = []
    value.append(value)
    torch.save({"format": 1, "x": value}, here / "model.pt")
    return ["recommend", "--checkpoint=model.pt", "--user=1"]


@bait("there is no model")
def checkpoint_of_a_model_elsewhere(here):
    return checkpoint(here, model="../../os")


@bait("there is no model")
def checkpoint_of_a_model_that_is_no_class(here):
    return checkpoint(here, model="__doc__")


# ---- RecBole's pickles


@run("dataset_save_path.*pickles")
def cached_data_set(here):
    (here / "cache.pth").write_bytes(pickle.dumps(Bomb()))
    return ["--model=BPR", *TINY, "--dataset_save_path=cache.pth"]


@run("dataloaders_save_path.*pickles")
def cached_loaders(here):
    (here / "cache.pth").write_bytes(pickle.dumps([Bomb()]))
    return ["--model=BPR", *TINY, "--dataloaders_save_path=cache.pth"]


@run("save_dataloaders.*pickles")
def loaders_to_cache(here):
    return ["--model=BPR", *TINY, "--save_dataloaders=True"]


@run("", code=0)
def cached_loaders_where_recbole_looks_for_them(here):
    for name in ("tiny-for-BPR-dataloader.pth", "tiny-Dataset.pth"):
        (here / "out" / name).write_bytes(pickle.dumps([Bomb()]))
    args = "{'split': {'RS': [0.8, 0.1, 0.1]}, 'group_by': 'user', 'order': 'RO', 'mode': 'full'}"
    metrics = ("--metrics=['Hit']", "--valid_metric=Hit@10")
    return ["--model=BPR", *TINY, f"--eval_args={args}", *metrics]


def pretrained(here, model, *words):
    torch.save({"state_dict": Bomb()}, here / "pre.pth")
    return [f"--model={model}", *TINY, *words]


@run("is no file of plain tensors")
def pretrained_neumf(here):
    words = ("--use_pretrain=True", "--mf_pretrain_path=pre.pth", "--mlp_pretrain_path=pre.pth")
    return pretrained(here, "NeuMF", *words)


@run("is no file of plain tensors")
def pretrained_convncf(here):
    words = ("--train_method=after_pretrain", "--pre_model_path=pre.pth")
    return pretrained(here, "ConvNCF", *words)


@run("is no file of plain tensors")
def pretrained_nais(here):
    return pretrained(here, "NAIS", "--pretrain_path=pre.pth")


@run("is no file of plain tensors")
def pretrained_ract(here):
    return pretrained(here, "RaCT", "--train_stage=critic_pretrain", "--pre_model_path=pre.pth")


@run("cannot read the pretrained model")
def pretrained_folder(here):
    (here / "pre").mkdir()
    return ["--model=NAIS", *TINY, "--pretrain_path=pre"]


@run(r"item_emb\.npy")
def embeddings_with_objects(here):
    array = np.array([Bomb()], dtype=object)
    np.save(here / "data" / "tiny" / "item_emb.npy", array, allow_pickle=True)
    return ["--model=LDiffRec", *TINY, "--n_cate=2"]


@pytest.mark.parametrize("name", cases_of(__name__))
def test_hostile(name, tmp_path, monkeypatch, capsys):
    trial(name, tmp_path, monkeypatch, capsys)
