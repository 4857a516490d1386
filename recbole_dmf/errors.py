"""The one exception that users see: a message they can act on and an exit code."""


class UserError(Exception):
    """Something that the user can put right.

    Args:
        message: what was wrong, where (file, line, field or option) and what to do.
        exit_code: process exit code of the command-line tools; 2 for bad input.
    """

    def __init__(self, message: str, exit_code: int = 2):
        super().__init__(message)
        self.exit_code = exit_code
