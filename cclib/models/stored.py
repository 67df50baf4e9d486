"""How a model's files keep its weights: "Q4_K_M, 6.2 bits a weight", whatever precision they are used in."""

from __future__ import annotations

import json
import struct
from collections import Counter
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from cclib.models.weights import TRUST, files_folder, locate, states_of, weight_files

# Bytes of a value of each plain type in a GGUF's head; texts and arrays say their length themselves.
PLAIN = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
TEXT, ARRAY, WHOLE_NUMBER = 8, 9, 4


def quantisation(place: str, options: dict[str, Any]) -> str | None:
    """What the files say of themselves, for `place` and `options` as `cclib.models.weights.locate` has them.

    A GGUF names its kind, and its bits are counted over all tensors that it holds, as llama.cpp counts them;
    of safetensors it is the type, or the method that config.json names. None of pickled weights.
    """
    folder = files_folder(place, options)
    files = weight_files(folder, options)
    if files and files[0].suffix.lower() == ".gguf":
        return _of_gguf(files[0], states_of(files))
    config = folder / "config.json"
    about = json.loads(config.read_text(encoding="utf-8")) if config.exists() else {}
    if made := about.get("quantization_config"):
        bits = made.get("bits") or next((b for b in (4, 8) if made.get(f"load_in_{b}bit")), None)
        return made.get("quant_method", "quantised") + (f", {bits} bits a weight" if bits else "")
    elements: Counter[str] = Counter()
    n_bytes = 0
    for file in (f for f in files if f.suffix == ".safetensors"):
        with file.open("rb") as f:
            tensors = json.loads(f.read(_numbers(f, "<Q")[0]))
            n_bytes += file.stat().st_size - f.tell()
        for name, tensor in tensors.items():
            if name != "__metadata__":
                elements[tensor["dtype"]] += prod(tensor["shape"])
    return _worded(elements.most_common(1)[0][0], n_bytes, elements.total()) if elements else None


def quantisation_at_hand(name: str | Path) -> str | None:
    """`quantisation` of the weights that a name stands for on this machine; None where they are not here."""
    try:
        return quantisation(*locate(name, None, TRUST))
    except (OSError, ValueError):
        return None


@lru_cache
def _of_gguf(path: Path, state: tuple) -> str:
    """Read once for each state of the file: its head holds the whole vocabulary."""
    import gguf

    with path.open("rb") as f:
        f.read(4)
        order = "<" if struct.unpack("<I", f.read(4))[0] < 1 << 16 else ">"
        n_tensors, n_keys = _numbers(f, order + "QQ")
        kind = None
        for _ in range(n_keys):
            key, of = _text(f, order), _numbers(f, order + "I")[0]
            if key == b"general.file_type" and of == WHOLE_NUMBER:
                kind = _numbers(f, order + "I")[0]
            else:
                _pass_over(f, order, of)
        elements: Counter[int] = Counter()
        for _ in range(n_tensors):
            _text(f, order)
            shape = _numbers(f, f"{order}{_numbers(f, order + 'I')[0]}Q")
            of, _offset = _numbers(f, order + "IQ")
            elements[of] += prod(shape)
        head = f.tell()
    if kind in {*gguf.LlamaFileType}:
        name = gguf.LlamaFileType(kind).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    else:
        of = elements.most_common(1)[0][0]
        known = of in {*gguf.GGMLQuantizationType}
        name = f"mostly {gguf.GGMLQuantizationType(of).name if known else f'type {of}'}"
    return _worded(name, path.stat().st_size - head, elements.total())


def _worded(kind: str, n_bytes: int, n_weights: int) -> str:
    return f"{kind}, {8 * n_bytes / n_weights:.1f} bits a weight"


def _numbers(f: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, f.read(struct.calcsize(form)))


def _text(f: BinaryIO, order: str) -> bytes:
    return f.read(_numbers(f, order + "Q")[0])


def _pass_over(f: BinaryIO, order: str, of: int) -> None:
    """A value of a type, and of an array all of its values."""
    if of == TEXT:
        f.seek(_numbers(f, order + "Q")[0], 1)
    elif of == ARRAY:
        of, n = _numbers(f, order + "IQ")
        if of in PLAIN:
            f.seek(n * PLAIN[of], 1)
        else:
            for _ in range(n):
                _pass_over(f, order, of)
    else:
        f.seek(PLAIN[of], 1)
