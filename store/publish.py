"""A file that appears whole or not at all, and never replaces another: for keys and new stores."""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = ["publish"]

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def publish(draft: Path, target: Path) -> bool:
    """Give ``draft`` the name ``target``. False: another process was first, ``target`` is theirs.

    The draft is gone afterwards in either case. Raises ``OSError``.
    """
    try:
        os.link(draft, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without hard links: the check and the move are two steps, the best there is.
        if target.exists():
            return False
        draft.rename(target)
        return True
    finally:
        draft.unlink(missing_ok=True)
    return True
