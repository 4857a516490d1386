"""Files and words made to run code, to write elsewhere or to fill the memory, by command line."""

import gzip
import io
import json
import os
import pickle
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import yaml

from conftest import random_rows, write_inter
from recbole_dmf import cli
from recbole_dmf.run import run_recbole
from recbole_dmf.training.checkpoint import pack

HEADER = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
FORCED = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"  # what plain RecBole needs, so users have it set


class Bomb:
    """Unpickled, it makes the file of which the place is in the environment."""

    def __reduce__(self):
        return (os.system, ('touch "$MARKER"',))


CODE = """__import__('os').system('touch "$MARKER"')"""
TAG = "x: !!python/object/apply:os.system ['touch \"$MARKER\"']\n"
LAUGHS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
BAIT = {}


def bait(expected, program="recbole-dmf", code=2):
    """A case: the function makes files in `here` and returns the words of the command."""

    def add(make):
        BAIT[make.__name__] = (make, program, expected, code)
        return make

    return add


def run(expected, code=2):
    """A case of `run_recbole` on a small data set."""
    return bait(expected, "run_recbole", code)


TINY = ("--dataset=tiny", "--data_path=data", "--checkpoint_dir=out", "--epochs=1")


# ---- checkpoints


def checkpoint(here, **changed):
    """A run's checkpoint of BPR, with some of its content changed."""
    users, items = [f"u{n}" for n in range(4)], [f"i{n}" for n in range(6)]
    content = {
        "format": 1,
        "model": "BPR",
        "dataset": "tiny",
        "settings": {
            "USER_ID_FIELD": "user_id",
            "ITEM_ID_FIELD": "item_id",
            "RATING_FIELD": "rating",
            "NEG_PREFIX": "neg_",
            "embedding_size": 3,
        },
        "users": users,
        "items": items,
        "train": sp.csr_matrix(np.eye(4, 6, dtype=np.float32)),
        "state_dict": {
            "user_embedding.weight": torch.ones(4, 3),
            "item_embedding.weight": torch.ones(6, 3),
        },
        "other_parameter": {},
        **changed,
    }
    torch.save(pack(content), here / "model.pt")
    return ["recommend", "--checkpoint=model.pt", "--user=u1"]


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


# ---- code in options and YAML


@run("'epochs'.*whole number")
def code_as_a_number(here):
    return ["--model=DMF", "--dataset=tiny", "--data_path=data", f"--epochs={CODE}"]


@run("no metric named")
def code_as_a_list(here):
    return ["--model=DMF", *TINY, f"--metrics=[{CODE}]"]


@run("unknown option")
def code_as_a_name(here):
    return ["--model=DMF", *TINY, f"--{CODE}=1"]


@run("there is no model")
def code_as_a_model(here):
    return [f"--model={CODE}", *TINY]


@bait("write it as --set|write options as|no plain|--set")
def code_as_a_column(here):
    return ["compare", "--dataset=tiny", "--models=ItemPop", "--set", f"{CODE}.k=1"]


@run("not a YAML file of plain values")
def tag_in_a_config_file(here):
    (here / "a.yaml").write_text(TAG)
    return ["--model=DMF", *TINY, "--config_files=a.yaml"]


@run("not a YAML file of plain values")
def tag_in_the_property_file(here):
    (here / "data" / "tiny" / "tiny.yaml").write_text(TAG)
    return ["--model=DMF", *TINY]


@run("not a YAML file of plain values")
def tag_in_model_settings(here):
    text = f"model_settings:\n  DMF:\n    {TAG}"
    (here / "data" / "tiny" / "tiny.yaml").write_text(text)
    return ["--model=DMF", *TINY]


@bait("not a YAML file of plain values")
def tag_in_a_search_space(here):
    (here / "a.yaml").write_text(TAG)
    return ["tune", "--model=EALS", "--dataset=tiny", "--data_path=data", "--search=a.yaml"]


@bait("not a YAML file")
def tag_in_a_folder_to_check(here):
    (here / "data" / "tiny" / "tiny.yaml").write_text(TAG)
    return ["check", "data/tiny"]


@run("over 100,000 values|more than 100,000 values")
def yaml_of_billions_of_values(here):
    (here / "a.yaml").write_text(LAUGHS + "epochs: *a11\n")
    return ["--model=DMF", *TINY, "--config_files=a.yaml"]


@bait("more than 100,000 values")
def yaml_of_billions_of_values_to_check(here):
    (here / "data" / "tiny" / "tiny.yaml").write_text(LAUGHS + "max_rating: *a11\n")
    return ["check", "data/tiny"]


@run("nested more than")
def yaml_that_holds_itself(here):
    (here / "a.yaml").write_text("topk: &a [*a]\n")
    return ["--model=DMF", *TINY, "--config_files=a.yaml"]


@run("not a YAML file of plain values")
def yaml_of_endless_depth(here):
    (here / "a.yaml").write_text("topk: " + "[" * 100_000)
    return ["--model=DMF", *TINY, "--config_files=a.yaml"]


# ---- names that lead elsewhere


@run("not a data set's name")
def data_set_above(here):
    return ["--model=DMF", "--dataset=../outside", "--data_path=data/tiny", "--checkpoint_dir=out"]


@run("not a data set's name")
def data_set_by_an_absolute_path(here):
    return ["--model=DMF", "--dataset=/etc/passwd", "--checkpoint_dir=out"]


@run("not a data set's name")
def data_set_with_nul(here):
    return ["--model=DMF", "--dataset=tiny\0x", "--checkpoint_dir=out"]


@run("not a data set's name")
def data_set_with_a_line_end(here):
    return ["--model=DMF", "--dataset=tiny\nx", "--checkpoint_dir=out"]


@run("not a data set's name.*bytes")
def data_set_with_a_long_name(here):
    return ["--model=DMF", f"--dataset={'x' * 5000}", "--checkpoint_dir=out"]


@run("data_path.*longer")
def data_path_too_long(here):
    return ["--model=DMF", "--dataset=tiny", f"--data_path={'x' * 5000}", "--checkpoint_dir=out"]


@run("data_path.*NUL")
def data_path_with_nul(here):
    return ["--model=DMF", "--dataset=tiny", "--data_path=da\0ta", "--checkpoint_dir=out"]


@run("checkpoint_dir.*NUL")
def results_with_nul(here):
    return ["--model=DMF", *TINY[:2], "--checkpoint_dir=ou\0t", "--epochs=1"]


@run("there is no model")
def model_above(here):
    return ["--model=../../os", *TINY]


@run("there is no model")
def model_in_a_module(here):
    return ["--model=bpr.os", *TINY]


@run("benchmark_filename")
def parts_above(here):
    return ["--model=DMF", *TINY, "--benchmark_filename=['../a', '../b']"]


@bait("is no name for a model")
def label_above(here):
    return ["compare", "--dataset=tiny", "--models=../../x=ItemPop", "--results=out"]


@bait("is no name for a model")
def label_with_a_long_name(here):
    return ["compare", "--dataset=tiny", f"--models={'x' * 300}=ItemPop", "--results=out"]


@bait("no search space")
def search_above(here):
    return ["tune", "--model=../../x", "--dataset=tiny", "--data_path=data"]


# ---- archives and tables to convert

CSV = b"userId,movieId,rating,timestamp\n" + b"".join(
    f"{u},{i},3,{n}\n".encode() for n, (u, i, _, _) in enumerate(random_rows(3, 20, 5))
)


def archive(here, *entries):
    with zipfile.ZipFile(here / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries:
            file.writestr(name, data)
    return ["convert", "a.zip", "out/shop"]


@bait("", code=0)
def zip_entry_above(here):
    return archive(here, ("../../ratings.csv", CSV))


@bait("", code=0)
def zip_entry_by_an_absolute_path(here):
    return archive(
        here, (f"{here}/ratings.csv", CSV), ("/../movies.csv", b"movieId,title,genres\n")
    )


@bait("a.zip:ratings.csv")
def zip_entry_that_is_a_link(here):
    info = zipfile.ZipInfo("ratings.csv")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return archive(here, (info, b"/etc/passwd"))


@bait("which no rating data does")
def zip_bomb(here):
    return archive(here, ("ratings.csv", b"1,1,1,1\n" * (4 << 20)))


@bait("claims to unpack to 4095 MB .* which no rating data does")
def zip_that_claims_gigabytes(here):
    words = archive(here, ("ratings.csv", CSV))
    data = bytearray((here / "a.zip").read_bytes())
    place = data.rfind(b"PK\1\2") + 24  # uncompressed size in the central directory
    data[place : place + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    (here / "a.zip").write_bytes(data)
    return words


@bait("cannot be read|cannot be unpacked|line 1")
def zip_that_understates_its_size(here):
    words = archive(here, ("ratings.csv", CSV * 2000))
    data = bytearray((here / "a.zip").read_bytes())
    place = data.rfind(b"PK\1\2") + 24  # uncompressed size in the central directory
    data[place : place + 4] = (50).to_bytes(4, "little")
    (here / "a.zip").write_bytes(data)
    return words


@bait("Overlapped|cannot be read|not a usable")
def zip_of_overlapping_entries(here):
    words = archive(here, ("ratings.csv", CSV), ("movies.csv", b"movieId,title,genres\n1,A,B\n"))
    data = (here / "a.zip").read_bytes()
    first = data.find(b"PK\1\2")
    second = data.find(b"PK\1\2", first + 4)
    forged = bytearray(data)
    forged[second + 42 : second + 46] = data[first + 42 : first + 46]  # the first one's offset
    (here / "a.zip").write_bytes(forged)
    return words


@bait("not a usable zip|cannot be read|File name")
def zip_whose_names_differ(here):
    words = archive(here, ("ratings.csv", CSV))
    data = (here / "a.zip").read_bytes()
    (here / "a.zip").write_bytes(data.replace(b"ratings.csv", b"/tmp/xx.csv", 1))
    return words


@bait("unpacks to over|not a text file with lines")
def gzip_bomb(here):
    with gzip.open(here / "a.csv.gz", "wb", compresslevel=9) as file:
        for _ in range(40):
            file.write(b"1,1,1,1\n" * (1 << 17))
    return ["convert", "table", "a.csv.gz", "out/shop", "--columns=a,b,c,d", "--user=a", "--item=b"]


@bait("a NUL byte|not valid UTF-8")
def zip_within_a_zip(here):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("ratings.csv", CSV)
    return archive(here, ("ratings.csv", inner.getvalue()))


@bait("u1/../../x|", code=0)
def ids_that_look_like_paths(here):
    rows = [f"../../{u},/etc/{i},3,{n}" for n, (u, i, _, _) in enumerate(random_rows(4, 20, 5))]
    (here / "a.csv").write_text("user_id,item_id,rating,timestamp\n" + "\n".join(rows) + "\n")
    return ["convert", "table", "a.csv", "out/shop", "--rating=rating"]


@bait("tab, a line end or a NUL")
def ids_with_line_ends(here):
    (here / "a.csv").write_text('user_id,item_id\n"a\tb\nc:token",1\n')
    return ["convert", "table", "a.csv", "out/shop"]


@bait("no name of its own")
def output_without_a_name(here):
    (here / "a.csv").write_text("user_id,item_id\n1,2\n")
    return ["convert", "table", "a.csv", "/"]


@bait("not a data set's name: it has over")
def output_with_a_long_name(here):
    (here / "a.csv").write_text("user_id,item_id\n1,2\n")
    return ["convert", "table", "a.csv", f"out/{'x' * 250}"]


@bait("claims 20,000,000 rows, which no rating data")
def parquet_of_billions_of_rows(here):
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array(np.zeros(20_000_000, np.int8))
    path = here / "a.parquet"
    pq.write_table(pa.table({"user_id": column, "item_id": column}), path, compression="zstd")
    return ["convert", "table", "a.parquet", "out/shop"]


@bait("line 2: 1 fields instead of 100004")
def header_of_a_million_columns(here):
    names = b"\t".join(b"c%d:token" % n for n in range(100_000))
    (here / "data" / "tiny" / "tiny.inter").write_bytes(HEADER.strip() + b"\t" + names + b"\n1\n")
    return ["init-dataset", "data/tiny"]


@run("line 1")
def header_of_many_megabytes(here):
    data = b"user_id" + b"x" * (20 << 20) + b":token\titem_id:token\n1\t2\n"
    (here / "data" / "tiny" / "tiny.inter").write_bytes(data)
    return ["--model=DMF", *TINY]


@bait("not a text file with lines")
def line_without_an_end(here):
    (here / "u.data").write_bytes(b"1" * (40 << 20))
    return ["convert", "movielens", ".", "out/shop"]


@bait("symbolic link|link|no such|not an atomic|cannot", code=None)
def link_in_a_folder_to_mend(here):
    (here / "secret").write_text("secret")
    (here / "data" / "tiny" / "notes.txt").symlink_to(here / "secret")
    return ["check", "data/tiny", "--fix=out/mended"]


@bait("not JSON|JSON")
def history_of_endless_depth(here):
    checkpoint(here)
    (here / "h.json").write_text("[" * 200_000)
    return ["recommend", "--checkpoint=model.pt", "--history=@h.json"]


@bait("is no journal of a search")
def journal_of_another(here):
    (here / "out").mkdir(exist_ok=True)
    (here / "out" / "study.log").write_bytes(pickle.dumps(Bomb()) + b"\n" + CODE.encode() + b"\n")
    return ["tune", "--model=EALS", *TINY[:2], "--trials=1", "--epochs=1", "--results=out"]


# ---- the trial


def files_in(folder):
    return {p for p in folder.rglob("*") if not p.is_dir()}


@pytest.mark.parametrize("name", BAIT)
def test_hostile(name, tmp_path, monkeypatch, capsys):
    make, program, expected, wanted = BAIT[name]
    here = tmp_path / "here"
    (here / "out").mkdir(parents=True)
    write_inter(here / "data", random_rows(12, 40, 8))
    marker = tmp_path / "marker"
    monkeypatch.setenv("MARKER", str(marker))
    monkeypatch.setenv(FORCED, "1")
    monkeypatch.chdir(here)
    words = make(here)
    before = files_in(tmp_path)
    main = {"run_recbole": cli.main_of("run"), "recbole-dmf": cli.dispatch}[program]
    try:
        code = cli.guarded(main, words)
    except SystemExit as error:  # argparse
        code = error.code
    shown = "".join(capsys.readouterr())
    assert not marker.exists(), "code was run"
    stray = [p for p in files_in(tmp_path) - before if not p.is_relative_to(here / "out")]
    assert not stray
    assert "Traceback" not in shown
    assert "--debug shows where" not in shown, "not an error that was foreseen"
    assert len(shown) < 20_000
    if wanted is not None:
        assert code == wanted, shown
    assert re.search(expected, shown, re.DOTALL), shown


def test_the_bombs_are_live(tmp_path, monkeypatch):
    """What the trial says means something: loaded as RecBole loads them, they go off."""
    marker = tmp_path / "marker"
    monkeypatch.setenv("MARKER", str(marker))
    pickle.loads(pickle.dumps(Bomb()))  # noqa: S301
    assert marker.exists()
    marker.unlink()
    eval(CODE)  # noqa: S307
    assert marker.exists()
    marker.unlink()
    yaml.load(TAG, Loader=yaml.UnsafeLoader)
    assert marker.exists()


def test_there_are_thirty():
    assert len(BAIT) >= 30


def test_a_script_in_a_comparison_is_text_in_the_report(tiny, tmp_path, capsys):
    options = {"data_path": str(tiny), "checkpoint_dir": str(tmp_path), "epochs": 0}
    found = run_recbole("ItemPop", "tiny", config_dict=options)
    folder, run = tmp_path / "compared", tmp_path / "compared" / "runs" / "a"
    run.parent.mkdir(parents=True)
    Path(found["folder"]).rename(run)
    script = "<script>alert(1)</script>"
    result = {**found["result"], "label": script}
    (run / "result.json").write_text(json.dumps(result))
    about = {"title": script, "dataset": "tiny", "models": [script], "seeds": [result["seed"]]}
    (folder / "comparison.json").write_text(json.dumps(about))
    assert cli.guarded(cli.dispatch, ["report", str(folder)]) == 0
    assert script not in (folder / "report.html").read_text()
    assert "&lt;script&gt;alert(1)" in (folder / "report.html").read_text()
