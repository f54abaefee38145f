"""The models in other precisions: what each costs in accuracy, and what it saves in time.

fp16 halves the numbers of weights and sums; int8 is ONNX Runtime's static quantisation, calibrated
on inputs that the models really got while looking at the tuning pictures. A variant takes one
model's place while the reporting pictures are looked at again, so that what it changes is seen in
counts and attributes, and not in numbers that nobody reads.
"""

from __future__ import annotations

__all__ = ["measure_variants"]

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.accuracy import frames_of
from bench.accuracy_labels import read_labels
from bench.accuracy_match import Judged, judge
from bench.accuracy_pictures import FOLDER, LABELS
from bench.harness import Comparison, Effort, Figure, percentile
from bench.pictures import scaled
from bench.pipeline import MODELS
from bench.sessions import alternate
from models import ModelStore, PeopleFinder, Session, open_session
from models.library import onnxruntime

_NAMES = PeopleFinder.MODELS
_QUICK_NAMES = ("person", "mask")
_KEPT = 24
"""Inputs of each model that are kept for calibration."""
_SECONDS = 2.0
_WIDTH = 768

Tensor = NDArray[np.float32]


class _Accuracy(msgspec.Struct):
    """Sums over all looks."""

    faces: int = 0
    faces_found: int = 0
    pictures: int = 0
    off: int = 0
    """Between people counted and people there, in all."""
    genders: int = 0
    genders_right: int = 0
    masks: int = 0
    masks_right: int = 0

    def add(self, judged: Judged, error: int | None) -> None:
        if judged.faces_known:
            self.faces += len(judged.faces)
            self.faces_found += sum(face.found for face in judged.faces)
        if error is not None:
            self.pictures += 1
            self.off += abs(error)
        for face in judged.faces:
            if face.found and face.gender and face.said_gender != "unknown":
                self.genders += 1
                self.genders_right += face.said_gender == face.gender
            if face.found and face.mask and face.said_mask != "unknown":
                self.masks += 1
                self.masks_right += face.said_mask == face.mask

    def __str__(self) -> str:
        return (
            f"faces {self.faces_found} of {self.faces}, people off by "
            f"{self.off / max(1, self.pictures):.2f}, gender {self.genders_right} of "
            f"{self.genders}, mask {self.masks_right} of {self.masks}"
        )


class _Keeping(Session):
    """Keeps the first inputs that it gets."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.raw, session.provider)
        self.kept: list[Tensor] = []

    def run(self, tensor: Tensor) -> list[Tensor]:
        if len(self.kept) < _KEPT:
            self.kept.append(tensor.copy())
        return super().run(tensor)


def measure_variants(effort: Effort) -> tuple[list[Figure], list[str]]:
    """Each model in each precision beside fp32, and which could not be made."""
    try:
        precisions = _precisions()
    except ImportError as error:
        return [], [f"other precisions: {error.name} is not installed (make develop)"]
    if not FOLDER.exists():
        return [], [
            f"other precisions: no pictures in {FOLDER} (python -m bench.accuracy_pictures)"
        ]
    store = ModelStore(MODELS)
    originals = {name: store.load(name) for name in _NAMES}
    keeping = {name: _Keeping(_open(originals[name])) for name in _NAMES}
    _look(PeopleFinder.opened(keeping.__getitem__), "tuning.csv")
    before = _look(PeopleFinder.opened(lambda name: _open(originals[name])), "reporting.csv")
    figures, lacking = [], []
    for name in _QUICK_NAMES if effort.is_quick else _NAMES:
        for precision, make in precisions.items():
            try:
                with _silence():
                    variant = make(originals[name], keeping[name].kept)
                    session = _open(variant)
            except Exception as error:  # the converters raise whatever they like
                reason = " ".join(str(error).split())[:120]
                lacking.append(f"{name} in {precision}: {type(error).__name__}: {reason}")
                continue
            figures.append(
                _figure(name, precision, originals, session, len(variant), keeping, before, effort)
            )
    return figures, lacking


def _figure(
    name: str,
    precision: str,
    originals: Mapping[str, bytes],
    variant: Session,
    size: int,
    keeping: Mapping[str, _Keeping],
    before: _Accuracy,
    effort: Effort,
) -> Figure:
    original = _open(originals[name])
    tensor = keeping[name].kept[0]
    own, other = alternate(
        lambda: variant.run(tensor), lambda: original.run(tensor), effort.seconds(_SECONDS)
    )
    sessions = {one: _open(originals[one]) for one in _NAMES} | {name: variant}
    after = _look(PeopleFinder.opened(sessions.__getitem__), "reporting.csv")
    value, value_before = percentile(own, 0.5), percentile(other, 0.5)
    return Figure(
        name=f"{name} in {precision}, batch {len(tensor)}",
        value=value,
        unit="ms",
        better="lower",
        compared=Comparison(
            to="fp32",
            value=value_before,
            ratio=median(a / b for a, b in zip(own, other, strict=True)),
            difference=value - value_before,
        ),
        details={
            "bytes": size,
            "bytes in fp32": len(originals[name]),
            **{f"{key}, fp32": number for key, number in msgspec.structs.asdict(before).items()},
            **{f"{key}, {precision}": n for key, n in msgspec.structs.asdict(after).items()},
        },
        note=f"{after} (fp32: {before})",
    )


def _open(model: bytes) -> Session:
    return open_session(model, intra_op_threads=1, keep_arena=True)


def _look(finder: PeopleFinder, labels: str) -> _Accuracy:
    found = _Accuracy()
    for row, frame in frames_of(read_labels(LABELS / labels), FOLDER):
        if frame is None:
            continue
        rgb = scaled(frame, min(_WIDTH, frame.width))
        judged = judge(row, finder.find(rgb), rgb.shape[1] / frame.width)
        found.add(judged, row.error(judged.people))
    return found


# -- making them -----------------------------------------------------------------------------------


def _precisions() -> dict[str, Callable[[bytes, list[Tensor]], bytes]]:
    import onnx
    from onnxruntime import quantization
    from onnxruntime.transformers.float16 import convert_float_to_float16

    def half(model: bytes, _: list[Tensor]) -> bytes:
        graph = onnx.load_from_string(model)
        return bytes(convert_float_to_float16(graph, keep_io_types=True).SerializeToString())

    def quantised(model: bytes, inputs: list[Tensor]) -> bytes:
        name = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        entry = name.get_inputs()[0].name

        class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self._waiting = iter(inputs)

            def get_next(self) -> dict[str, Tensor] | None:
                tensor = next(self._waiting, None)
                return None if tensor is None else {entry: tensor}

        with TemporaryDirectory(prefix="smartpole-") as folder:
            before, made = Path(folder) / "before.onnx", Path(folder) / "made.onnx"
            before.write_bytes(model)
            quantization.quantize_static(
                before,
                made,
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                activation_type=quantization.QuantType.QUInt8,
            )
            return made.read_bytes()

    return {"fp16": half, "int8": quantised}


@contextmanager
def _silence() -> Iterator[None]:
    """The quantiser advises at length, by the root logger."""
    root: Any = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
