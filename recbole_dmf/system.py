"""The operating systems that this package runs on."""

import sys

from recbole_dmf.errors import UserError

SYSTEMS = {"linux": "Linux", "darwin": "macOS"}


def check_system(platform: str = sys.platform) -> None:
    """Raise unless file locks, atomic writes and process groups are there as on Linux and macOS.

    Raises:
        UserError: another system, such as Windows.
    """
    if platform not in SYSTEMS:
        raise UserError(
            f"recbole-dmf runs on {' and '.join(SYSTEMS.values())}, and this system is {platform}: "
            "its file locks and atomic writes work otherwise. On Windows run it in WSL "
            "(`wsl --install`, then the same commands in its shell)."
        )
