"""What RecBole needs to run on current libraries: one function per workaround.

Each function says which line of RecBole 1.2.1 it answers (of 1.2.0 in `older`) and returns a
function that takes it back.
"""

from recbole_dmf.host.compat import libraries, older, pickles, surprises

WORKAROUNDS = (
    surprises.options_are_literals,
    surprises.foreign_command_line_is_ignored,
    surprises.data_path_is_honoured,
    surprises.missing_data_set_is_explained,
    surprises.no_stray_tensorboard,
    surprises.scores_keep_their_precision,
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
