"""Where weights come from, whether they may be read, and what is written down of them.

Safetensors and GGUF hold numbers. A pickle, or Python beside the weights, can do anything, and is refused
unless asked for by name.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cclib.names import ATLAS, HUB_ID, pinned

ATLAS_FOLDER = Path(__file__).parents[1] / "atlas" / "weights"
GGUF_HEADER = 1 << 26  # bytes in which a file names its keys and tensors
SCALED_POSITIONS = (
    b"rope_freqs.weight",
    b"rope_factors_long.weight",
    b".rope.scaling.factor",
)  # Llama 3.1, Phi
TRUST = {"pickle", "remote_code"}  # what can run code of a model's maker


def refused(name: str | Path, reason: str, trust: str) -> ValueError:
    return ValueError(
        f"model {str(name)!r} is refused: {reason}, which can do anything on this machine. If you trust its "
        f"maker, ask by name: cclib.load_model(..., trust=({trust!r},))"
    )


def locate(name: str | Path, revision: str | None, trust: Collection[str] = ()) -> tuple[str, dict[str, Any]]:
    """Where transformers should load from, and with which options. Pickled weights are refused."""
    if name in ATLAS:
        return str(model_folder(str(name))), {"use_safetensors": True}
    path = Path(name).expanduser()
    if path == Path("."):  # an empty name is one too
        path = Path("no name")
    if path.suffix.lower() == ".gguf":
        if not path.exists():
            raise FileNotFoundError(f"no GGUF file at {path}; give the path of a downloaded model")
        with path.open("rb") as f:
            if (magic := f.read(4)) != b"GGUF":
                raise ValueError(f"{path.name} is not a GGUF file: it starts with {magic!r}, not b'GGUF'")
            (gguf_version,) = struct.unpack("<I", f.read(4))
            names = f.read(GGUF_HEADER)
        if gguf_version < 2:
            raise ValueError(f"{path.name}: GGUF version {gguf_version}; convert it to version 2 or 3")
        scaled = [key for key in SCALED_POSITIONS if key in names and b"gpt-oss.rope" not in names]
        if scaled:
            raise ValueError(
                f"{path.name} scales its positions ({scaled[0].decode()}), which transformers does not read "
                "from GGUF, so its answers would be another model's; give the model as safetensors"
            )
        return str(path.parent), {"gguf_file": path.name}
    if path.is_dir():
        if not any(path.glob("*.safetensors")) and any(path.glob("*.bin")) and "pickle" not in trust:
            raise refused(name, "its weights are pickled, not safetensors", "pickle")
        return str(path), {"use_safetensors": None if "pickle" in trust else True}
    if HUB_ID.fullmatch(str(name)):
        pin = pinned(name)
        if pin and revision not in (None, pin):
            raise ValueError(f"{name} pins {pin}, but revision={revision!r} is asked for; give one of them")
        owner_and_name = str(name).removesuffix(f"@{pin}") if pin else str(name)
        return owner_and_name, {
            "use_safetensors": None if "pickle" in trust else True,
            "revision": revision or pin,
        }
    raise ValueError(
        f"unknown model {str(name)!r}: not a folder, not a .gguf file, not a hub id (owner/name); "
        f"shipped models: {', '.join(ATLAS)}; behind an API: openai:NAME"
    )


def model_folder(name: str) -> Path:
    """The folder of a shipped model: configuration, weights (safetensors) and tokenizer.

    Raises:
        ValueError: there is no such model.
        FileNotFoundError: its weights are not in this installation.
    """
    if name not in ATLAS:
        raise ValueError(f"unknown Atlas model {name!r}; there are {', '.join(ATLAS)}")
    folder = ATLAS_FOLDER / name
    if not (folder / "model.safetensors").exists():
        raise FileNotFoundError(
            f"the weights of {name} are not in this installation (expected in cclib/atlas/weights/{name}); "
            f"reinstall the package, or train them: python -m cclib.atlas train --size {name[-1]}"
        )
    return folder


def refuse_incomplete(name: str | Path, found: Mapping[str, Collection[Any]]) -> None:
    """What is not in the files would be random numbers, others at each load.

    Args:
        found: "missing_keys", "unexpected_keys" and "mismatched_keys" as transformers reports them, without
            those that the architecture says are no loss (tied embeddings, buffers that it computes).

    Raises:
        ValueError: some weights are missing, of another shape, or of no place in this model.
    """
    faults = []
    for key, fault in (
        ("missing_keys", "are missing"),
        ("mismatched_keys", "have another shape"),
        ("unexpected_keys", "have no place in it"),
    ):
        names = sorted(k if isinstance(k, str) else k[0] for k in found[key])
        if names:
            some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            faults.append(f"{len(names)} {fault} ({some})")
    if faults:
        raise ValueError(
            f"model {str(name)!r} is refused: of the weights that config.json (or the GGUF's head) tells of, "
            f"{'; '.join(faults)}. It would answer from random numbers. Give all of its files: every shard, "
            "as its maker published them"
        )


def checksum(place: str, options: dict[str, Any]) -> str:
    """The hub's commit where the weights come from the hub, else the sha256 of the weight files."""
    folder = files_folder(place, options)
    if not Path(place).is_dir():
        return f"commit:{folder.name}"
    files = weight_files(folder, options)
    if not files:
        raise ValueError(f"there are no weights in {folder}: expected .safetensors files")
    return f"sha256:{_sha256(tuple(files), states_of(files))}"


def files_folder(place: str, options: dict[str, Any]) -> Path:
    """The folder that holds a model's files; of one from the hub, in the hub's cache."""
    if Path(place).is_dir():
        return Path(place)
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(place, "config.json", revision=options.get("revision"))
    if not isinstance(cached, str):
        raise ValueError(f"model {place!r} was loaded, but the hub's cache does not say from which commit")
    return Path(cached).parent


def weight_files(folder: Path, options: dict[str, Any]) -> list[Path]:
    if gguf := options.get("gguf_file"):
        return [folder / gguf]
    return sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])


def states_of(files: Collection[Path]) -> tuple:
    # a file that is written anew, at the same moment and of the same size even, has another time of change
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in map(Path.stat, files))


@lru_cache
def _sha256(files: tuple[Path, ...], states: tuple) -> str:
    """Of the files' content, one after the other; worked out once for each of their states."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as f:
            while block := f.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()


def checksum_at_hand(name: str | Path) -> str | None:
    """`checksum` of the weights that a name stands for on this machine; None where they are not here."""
    try:
        place, options = locate(name, None, TRUST)  # they are read as bytes
        return checksum(place, options)
    except (OSError, ValueError):
        return None
