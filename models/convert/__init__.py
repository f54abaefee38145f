"""Makes the ONNX files that run from the files that packages carry, the same bytes each time.

Only fetching comes through here, on the machine where models are set up. The libraries it needs
(onnx, h5py) are an extra of the distribution and are imported only when a conversion starts.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.convert import face, mask, nanodet
from models.errors import ModelError
from models.manifest import Conversion

__all__ = ["convert"]


def convert(conversion: Conversion, files: Mapping[str, bytes]) -> bytes:
    """The ONNX file made from a package's files (by path in the package) by `conversion`.

    Raises `ModelError` when a library is missing or a file is not what the conversion is for.
    """
    match conversion:
        case Conversion.NONE:
            return _only(files, "")
        case Conversion.FACE_SIDES:
            return face.convert(_only(files, ".onnx"))
        case Conversion.NANODET_TFJS:
            return nanodet.convert(_only(files, ".json"), _only(files, ".bin"))
        case Conversion.MASK_KERAS:
            return mask.convert(_only(files, ".model"))


def _only(files: Mapping[str, bytes], suffix: str) -> bytes:
    found = [content for path, content in files.items() if path.endswith(suffix)]
    if len(found) != 1:
        raise ModelError(
            "conversion",
            f"got {len(found)} files ending in {suffix!r}",
            accepted="one such file in the manifest entry's package",
        )
    return found[0]
