"""TensorBoard's event files, written by the thread that trains.

`SummaryWriter` hands its events to a thread of its own: an interrupt while it does so can leave
both waiting for ever, and a full disk ends that thread in a traceback.
"""

import os
import socket
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams, scalar


class EventFile:
    """A new event file in `folder`, with what RecBole's trainers call of `SummaryWriter`.

    Args:
        folder: made if need be.
        purge_step: TensorBoard hides what earlier files of the folder say from this step on.

    Raises:
        OSError: from every method; it cannot be written.
    """

    def __init__(self, folder: Path, purge_step: int | None = None):
        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("wb", buffering=0)
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if purge_step is not None:
            self._write(step=purge_step, session_log=SessionLog(status=SessionLog.START))

    def _write(self, **content: Any) -> None:
        self._records.write(Event(wall_time=time.time(), **content).SerializeToString())

    def add_scalar(self, tag: str, value: float, step: int = 0) -> None:
        """One point of a curve."""
        self._write(step=step, summary=scalar(tag, value))

    def add_hparams(self, options: dict[str, Any], metrics: dict[str, float]) -> None:
        """The run's options and what came out."""
        for summary in hparams(options, metrics):
            self._write(summary=summary)
        for tag, value in metrics.items():
            self.add_scalar(tag, value)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
