"""What RecBole needs today to run on current libraries: one function per workaround.

Each function says which line of RecBole it answers and returns a function that takes it back.
"""

import sys

from recbole_dmf.errors import UserError
from recbole_dmf.host.compat import libraries, manners, pickles

WORKAROUNDS = (
    manners.options_are_literals,
    manners.foreign_command_line_is_ignored,
    manners.data_path_is_honoured,
    manners.missing_data_set_is_explained,
    manners.no_stray_tensorboard,
    pickles.own_checkpoints_load,
    pickles.pretrained_files_run_no_code,
    pickles.embeddings_run_no_code,
    pickles.caches_are_not_unpickled,
    libraries.grad_scaler_is_current,
    libraries.dok_matrix_updates,
    libraries.optimizers_leave_the_compiler_alone,
)


def check_python() -> None:
    """RecBole 1.2.1 pins ray <= 2.6.3, which has no wheel for Python 3.12 and later.

    Raises:
        UserError: this Python is too old or too new.
    """
    if not (3, 10) <= sys.version_info[:2] < (3, 12):
        raise UserError(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} cannot run RecBole 1.2.1; "
            "use Python 3.10 or 3.11."
        )
