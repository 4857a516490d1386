"""What RecBole needs to run on current libraries: one function per workaround.

Each function says which line of RecBole 1.2.1 it answers (of 1.2.0 in `older`) and returns a
function that takes it back.
"""

from recbole_dmf.host.compat import libraries, manners, older, pickles

WORKAROUNDS = (
    manners.options_are_literals,
    manners.foreign_command_line_is_ignored,
    manners.data_path_is_honoured,
    manners.missing_data_set_is_explained,
    manners.no_stray_tensorboard,
    manners.scores_keep_their_precision,
    pickles.own_checkpoints_load,
    pickles.pretrained_files_run_no_code,
    pickles.embeddings_run_no_code,
    pickles.caches_are_not_unpickled,
    libraries.old_numpy_names_exist,
    libraries.missing_sequences_are_empty,
    libraries.sequences_have_lengths,
    libraries.tensors_own_their_values,
    libraries.dok_matrix_updates,
    libraries.sparse_tensors_are_current,
    libraries.grad_scaler_is_current,
    libraries.optimizers_leave_the_compiler_alone,
    *(older.DIFFERENCES if older.IS_OLDER else ()),
)
