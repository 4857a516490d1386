"""The installed commands, in processes of their own, as users run them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import SHARED, needs_shared, random_rows, write_inter

RUN = Path(sys.executable).with_name("run_recbole")


def run_recbole(*argv, cwd, **kwargs):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(RUN), *argv], cwd=cwd, capture_output=True, text=True, env=env, **kwargs
    )


def test_help_does_not_import_torch(tmp_path):
    program = (
        "import sys; from recbole_dmf import cli;"
        "code = cli.guarded(cli.main_of('run'), ['--help']);"
        "sys.exit(code or bool({'torch', 'recbole', 'pandas', 'ray'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "--model" in result.stdout
    assert run_recbole("-h", cwd=tmp_path).stdout == result.stdout


def test_the_help_of_no_command_imports_torch():
    program = (
        "import sys; from recbole_dmf import cli\n"
        "for name in cli.COMMANDS:\n"
        "    try: code = cli.guarded(cli.dispatch, [name, '--help'])\n"
        "    except SystemExit as error: code = error.code\n"
        "    loaded = {'torch', 'recbole', 'ray'} & set(sys.modules)\n"
        "    assert not code and not loaded, (name, code, loaded)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "recbole-dmf import-checkpoint" in result.stdout


@pytest.mark.slow
def test_main_job_on_ml_100k(tmp_path):
    result = run_recbole("--model=DMF", "--dataset", "ml-100k", "--epochs=1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (
        "943 users, 1682 items, 98114 training interactions; 943 users evaluated" in result.stdout
    )
    assert "HR@10" in result.stdout
    assert "NDCG@10" in result.stdout
    assert "Warning" not in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved"]
    line = next(line for line in result.stdout.splitlines() if line.startswith("test   expected"))
    assert float(line.split()[2]) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("amazon-music", marks=needs_shared("amazon-music"))])
def test_main_job_on_data_beside_the_checkout(tmp_path, name):
    result = run_recbole(
        "--model=DMF", f"--dataset={name}", f"--data_path={SHARED}/", "--epochs=1",
        "--train_batch_size=8192", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "844 users, 18813 items" in result.stdout


HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
GOOD = "".join("\t".join(map(str, row)) + "\n" for row in random_rows())
FILES = {
    "empty file": ("", "empty"),
    "header only": (HEADER, "no interactions|holds no"),
    "no types": (HEADER.replace(":token", "").replace(":float", "") + GOOD, "type"),
    "no item column": (HEADER.replace("item_id", "thing") + GOOD, "item_id"),
    "rating is a word": (HEADER + GOOD + "u1\tx9\tgood\t5\n", "good"),
    "timestamp is a word": (HEADER + GOOD + "u1\tx9\t3\tnoon\n", "noon"),
    "rating is NaN": (HEADER + GOOD + "u1\tx9\tnan\t5\n", "line 362"),
    "rating is zero": (HEADER + GOOD + "u1\tx9\t0\t5\n", "line 362"),
    "rating below zero": (HEADER + GOOD + "u1\tx9\t-1\t5\n", "line 362"),
    "one item": (HEADER + "".join(f"u{n}\ti\t3\t{n}\n" for n in range(9)), "3 interactions|item"),
    "one interaction each": (
        HEADER + "".join(f"u{n}\ti{n}\t3\t{n}\n" for n in range(9)),
        "none of",
    ),
    "no id": (HEADER + GOOD + "\tx9\t3\t5\n", "line 362"),
    "not a table": ("\x00\x01\x02" * 50, "tiny.inter"),
}


def assert_friendly(result, pattern, code=2):
    import re

    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert re.search(pattern, result.stderr), result.stderr
    assert len(result.stderr.splitlines()) < 20


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_used(tmp_path, name, capsys):
    from recbole_dmf import cli

    text, pattern = FILES[name]
    folder = write_inter(tmp_path / "data", [])
    (folder / "tiny" / "tiny.inter").write_text(text)
    argv = ["--model=DMF", "--dataset=tiny", f"--data_path={folder}", "--epochs=1"]
    code = cli.guarded(cli.main_of("run"), [*argv, f"--checkpoint_dir={tmp_path / 'runs'}"])
    captured = capsys.readouterr()
    assert_friendly(subprocess.CompletedProcess([], code, captured.out, captured.err), pattern)


@pytest.mark.parametrize(
    ("argv", "pattern"),
    [
        (["--dataset=ml-100k"], "no model is given"),
        (["--model=DMF"], "no dataset is given"),
        (["--model=DNF", "--dataset=tiny"], "did you mean DMF"),
        (["--model=DMF", "--dataset=my-shop"], "my-shop.inter"),
        (["--model=DMF", "--dataset=../tiny"], "not a data set's name"),
        (["--model=DMF", "--dataset=tiny", "--learnin_rate=5"], "did you mean learning_rate"),
        (["--model=DMF", "--dataset=tiny", "--epochs=many"], "'epochs'.*whole number"),
        (["--model=DMF", "--dataset=tiny", "--train_batch_size=-5"], "at least 1"),
        (
            ["--model=DMF", "--dataset=tiny", "--user_layers=[64, 32]"],
            "make the last numbers equal",
        ),
        (["--model=DMF", "--dataset=tiny", "--user_layers=[0]", "--item_layers=[0]"], "widths"),
        (["--model=DMF", "--dataset=tiny", "--max_rating=3"], "line .*rating"),
        (["--model=DMF", "--dataset=tiny", "--metrics=['AUC']"], "not defined|fit together"),
        (["--model=DMF", "--dataset=tiny", "--valid_metric=NDCG@5"], "valid_metric"),
        (["--model=DMF", "--dataset=tiny", "--topk=0"], "topk"),
        (["--model=DMF", "--dataset=tiny", "--config_files=none.yaml"], "none.yaml"),
        (["--model=DMF", "--dataset=tiny", "--checkpoint_dir=/proc/x"], "cannot create the folder"),
        (["--model=DMF", "--dataset=tiny", "--train_neg_sample_args=None"], "DMF needs negatives"),
        (["DMF"], "stands alone"),
        (["--model=DMF", "--dataset=ml-100k", "--data_path=elsewhere"], "elsewhere/ml-100k"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_lines_that_cannot_run(tiny, tmp_path, argv, pattern, capsys, monkeypatch):
    from recbole_dmf import cli

    monkeypatch.chdir(tmp_path)
    if not any("data_path" in word for word in argv):
        argv = [*argv, f"--data_path={tiny}"]
    code = cli.guarded(cli.main_of("run"), argv)
    captured = capsys.readouterr()
    assert_friendly(subprocess.CompletedProcess([], code, captured.out, captured.err), pattern)


@pytest.mark.slow
def test_debug_shows_the_traceback(tmp_path):
    result = run_recbole("--model=DMF", "--dataset=nowhere", "--debug", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" in result.stderr


@pytest.mark.slow
def test_control_c_keeps_the_best_epoch(tiny, tmp_path):
    argv = ["--model=DMF", "--dataset=tiny", f"--data_path={tiny}", "--epochs=100000"]
    process = subprocess.Popen(
        [str(RUN), *argv, "--stopping_step=100000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    while not list(tmp_path.glob("saved/*/model.pt")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "The best epoch so far" in errors
    assert list(tmp_path.glob("saved/*/history.csv"))
