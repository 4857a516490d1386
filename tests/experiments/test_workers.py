"""Runs on Dask's workers: the figures of one process, and what a worker's death costs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import random_rows, write_inter
from recbole_dmf.commands.compare import main
from recbole_dmf.commands.model_arguments import jobs_of
from recbole_dmf.errors import UserError
from recbole_dmf.experiments import workers as workers_module
from recbole_dmf.experiments.compare import compare
from recbole_dmf.experiments.plan import Column
from recbole_dmf.experiments.tune import tune
from recbole_dmf.experiments.workers import ONE, Home, Jobs, Logs, threads_of_each, why_unfit

EPOCHS = 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_inter(tmp_path_factory.mktemp("data"), random_rows())


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def run(folder, data, jobs, seeds=(1, 2), **more):
    options = {"data_path": str(data), "epochs": EPOCHS, "learning_rate": 0.01, **more}
    columns = [Column("ItemPop", "ItemPop", options), Column("BPR", "BPR", options)]
    return compare(folder, "Test", "tiny", columns, seeds, {}, jobs=jobs)


def results(folder):
    """What must not depend on how the runs were made, by run."""
    found = {}
    for path in sorted(folder.glob("runs/*/result.json")):
        result = json.loads(path.read_text())
        kept = ("label", "seed", "threads", "metrics", "best_epoch", "candidates_sha256")
        users = (path.parent / "per_user.csv").read_text()
        found[path.parent.name] = ({name: result[name] for name in kept}, users)
    return found


@pytest.fixture(scope="module")
def through(tmp_path_factory, data):
    """By one process."""
    folder = tmp_path_factory.mktemp("through") / "c"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        assert run(folder, data, ONE)[1] == 0
    return results(folder)


@pytest.mark.slow
def test_two_at_a_time_give_the_figures_of_one_and_repeat_nothing(through, data, tmp_path, capfd):
    folder = tmp_path / "c"
    assert run(folder, data, Jobs(2), seeds=(1,))[1] == 0
    stamps = {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/result.json")}
    assert run(folder, data, Jobs(2))[1] == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert results(folder) == through
    said = capfd.readouterr().out
    assert "[3/3] BPR, seed 2 | epoch" in said
    assert "[2/3] BPR, seed 1: finished before" in said
    assert not list(folder.glob(".probe-*"))


def children_of(parent):
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(path.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers in /proc")
def test_a_killed_worker_costs_nothing_that_is_saved(through, data, tmp_path):
    folder, killed = tmp_path / "c", []

    def kill_a_worker():
        unfinished = folder / "runs" / ".unfinished-BPR-seed1"
        while not list(unfinished.glob("resume.pt")):
            time.sleep(0.01)
        for worker in children_of(os.getpid()):
            if b"spawn_main" in Path(f"/proc/{worker}/cmdline").read_bytes():
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

    thread = threading.Thread(target=kill_a_worker, daemon=True)
    thread.start()
    more = {"epochs": 40, "stopping_step": 1000}
    assert run(folder, data, Jobs(2), seeds=(1,), **more)[1] == 0
    thread.join(1)
    assert killed
    result = json.loads((folder / "runs" / "BPR-seed1" / "result.json").read_text())
    assert result["resumed_after"]
    run(tmp_path / "one", data, ONE, seeds=(1,), **more)
    assert results(folder) == results(tmp_path / "one")


@pytest.mark.slow
def test_interrupt_ends_the_runs_and_says_how_to_go_on(data, tmp_path):
    folder = tmp_path / "c"

    def interrupt():
        while not list(folder.glob("runs/.unfinished-BPR-seed1/resume.pt")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    more = {"epochs": 10**6, "stopping_step": 10**6}
    with pytest.raises(UserError, match=r"1 of 2 runs are finished in .*continues") as caught:
        run(folder, data, Jobs(2), seeds=(1,), **more)
    assert caught.value.exit_code == 130
    assert (folder / "runs" / ".unfinished-BPR-seed1" / "resume.pt").is_file()
    assert not [c for c in children_of(os.getpid()) if b"spawn_main" in command_of(c)]


def command_of(process):
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """A scheduler and a worker on ports of the loopback, in another folder than the tests."""
    folder = tmp_path_factory.mktemp("dask")
    variables = {**os.environ, "DASK_DISTRIBUTED__WORKER__DAEMON": "False", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "dask"]
    file = folder / "scheduler.json"
    more = {"cwd": folder, "env": variables}
    address = ["--scheduler-file", str(file)]
    commands = [
        [*words, "scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", *address],
        [*words, "worker", "--nthreads=1", "--no-dashboard", "--memory-limit=0", *address],
    ]
    log = (folder / "log.txt").open("w")
    started = [subprocess.Popen(c, stdout=log, stderr=log, **more) for c in commands]
    while not file.is_file():
        assert started[0].poll() is None, (folder / "log.txt").read_text()
        time.sleep(0.1)
    yield json.loads(file.read_text())["address"]
    for process in reversed(started):
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_a_scheduler_s_workers_give_the_same_figures(through, data, tmp_path, scheduler):
    folder = tmp_path / "c"
    assert run(folder, data, Jobs(scheduler=scheduler))[1] == 0
    assert results(folder) == through


@pytest.mark.slow
def test_workers_that_do_not_fit_are_refused(data, tmp_path, scheduler, monkeypatch):
    monkeypatch.setattr(workers_module, "__version__", "9.9")
    with pytest.raises(UserError, match=r"(?s)worker tcp.*has version .* planned by 9\.9"):
        run(tmp_path / "c", data, Jobs(scheduler=scheduler), seeds=(1,))


@pytest.mark.slow
def test_processes_of_a_search_share_its_trials(data, tmp_path):
    pytest.importorskip("optuna", reason="Optuna (the extra `tune`) is not installed")
    from recbole_dmf.experiments.parallel_tune import tune_in_parallel

    folder = tmp_path / "t"
    about = (folder, "EASE", "tiny", {"data_path": str(data)}, 5, None, "command")
    best = tune_in_parallel(*about, Jobs(2))
    rows = (folder / "trials.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [[str(n), "complete"] for n in range(5)]
    assert tune(*about) == best
    assert not list((folder / "workers").iterdir())


def test_a_second_scheduler_at_one_folder_is_refused(data, tmp_path):
    folder = tmp_path / "c"
    folder.mkdir()
    code = (
        "import sys; from pathlib import Path\n"
        "from recbole_dmf.lock import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another comparison is running"):
        run(folder, data, Jobs(2))
    holder.communicate()


def test_what_a_worker_must_have(tmp_path):
    probe = tmp_path / "probe"
    home = Home(workers_module.__version__, str(tmp_path), str(probe), 1)
    assert f"it does not see {probe}" in why_unfit(home)
    probe.touch()
    assert why_unfit(home) is None
    shutil.rmtree(tmp_path)
    assert "does not see" in why_unfit(home)


def test_without_dask_the_message_says_how_to_install_it(monkeypatch):
    assert jobs_of({}) == ONE
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert jobs_of({"jobs": "1"}) == ONE
    with pytest.raises(UserError, match=r"pip install 'recbole-dmf\[dask\]'"):
        main(["--dataset=ml-100k", "--models=ItemPop", "--jobs=2"])


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"jobs": "0"}, "--jobs=0: give how many"),
        ({"jobs": "two"}, "--jobs=two: give how many"),
        ({"jobs": "2", "scheduler": "tcp://localhost:1"}, "Give one of them"),
    ],
)
def test_jobs_that_cannot_be_understood(named, message):
    with pytest.raises(UserError, match=message):
        jobs_of(named)


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(workers_module, "_CONNECT", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with (
            pytest.raises(UserError, match=f"no Dask scheduler answers at --scheduler={address}"),
            workers_module.workers(Jobs(scheduler=address), tmp_path),
        ):
            pass
    assert not list(tmp_path.iterdir())


def test_the_cores_are_shared(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads_of_each(1) == cores
    assert threads_of_each(cores) == threads_of_each(2 * cores) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads_of_each(1) == 1


def test_logs_tell_whole_new_lines(tmp_path, capsys):
    path, logs = tmp_path / "run.log", Logs()
    logs.tell(path, "A")
    path.write_text("old\n")
    logs.skip(path)
    with path.open("a") as file:
        file.write("new\n\nhal")
    logs.tell(path, "A")
    with path.open("a") as file:
        file.write("f\n")
    logs.tell(path, "A")
    assert capsys.readouterr().out == "A | new\nA | half\n"


def test_dask_knows_what_is_set_for_the_workers_of_this_machine():
    dask = pytest.importorskip("dask", reason="the extra `dask`")
    pytest.importorskip("distributed", reason="the extra `dask`")
    for name, value in workers_module._QUIET.items():
        assert type(dask.config.get(name)) is type(value)  # an unknown name is a KeyError


@pytest.mark.slow
def test_runs_do_not_inherit_how_dask_trims_memory(tmp_path):
    pytest.importorskip("distributed", reason="the extra `dask`")

    def inherited(place):
        return str(os.environ.get("MALLOC_TRIM_THRESHOLD_"))

    with workers_module.workers(Jobs(1), tmp_path) as (client, home):
        values = client.run(os.environ.get, workers_module.TRIM)
        assert set(values.values()) == {"65536"}  # else there is nothing to take away
        found = list(workers_module.outcomes(client, home, inherited, [()], lambda numbers: None))
    assert found == [(0, "None")]
