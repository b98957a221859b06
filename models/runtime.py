"""onnxruntime, one thread a session, and silent.

From version 1.29 on its Linux builds report to their vendor by default: which model, on which machine. A
tool that reads secrets talks to nobody it was not told to talk to, so this is switched off before the
library is loaded; afterwards it is too late. All of unsprawl loads onnxruntime here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

__all__ = ["session"]

#: The name of the switch, and the one it had before.
_SILENT: Final = ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED")


def session(path: Path) -> Any:
    """An ``InferenceSession`` of the model in ``path``, on the CPU."""
    for name in _SILENT:
        os.environ[name] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
