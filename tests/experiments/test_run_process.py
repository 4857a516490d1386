import multiprocessing
import os
import signal
import threading
import time

import pytest

from recbole_dmf.experiments.run_process import run_in_process

pytestmark = pytest.mark.slow


def test_a_killed_run_names_the_signal(tiny, tmp_path):
    def kill_it():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        os.kill(children[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_it)
    killer.start()
    options = {"data_path": str(tiny), "epochs": 1_000_000, "stopping_step": 1_000_000}
    message = run_in_process(tmp_path, "BPR", "BPR", "tiny", options)
    killer.join()
    assert message == "the process was ended by SIGKILL (out of memory?)"
    assert not (tmp_path / "result.json").exists()


def test_an_error_is_told_without_its_traceback(tiny, tmp_path):
    message = run_in_process(tmp_path, "X", "BPR", "tiny", {"embedding_size": 8, "epochs": -1})
    assert message == "option 'epochs' in the options must be at least 0, not -1."
    assert (tmp_path / "error.txt").read_text().count("Traceback") == 1
