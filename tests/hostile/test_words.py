"""Options, YAML and names made to run code, to fill the memory or to lead elsewhere."""

import pickle

import pytest

from hostile_trial import CODE, LAUGHS, TAG, TINY, Bomb, bait, cases_of, checkpoint, run, trial

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


@pytest.mark.parametrize("name", cases_of(__name__))
def test_hostile(name, tmp_path, monkeypatch, capsys):
    trial(name, tmp_path, monkeypatch, capsys)
