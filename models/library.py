"""ONNX Runtime, imported so that it keeps nothing for its maker.

By default it opens a database of what it is used for in the user's home as soon as it is imported,
maps it for writing, and would send it. That is nothing for a pole, and a map that is shared with a
file is a hole in a domain's walls. It reads this variable when it is imported, and never again.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

__all__ = ["onnxruntime"]
