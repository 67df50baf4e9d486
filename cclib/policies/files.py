"""A policy's two files: JSON that can be read, and the weights of what is learned beside it, in safetensors.

    policy.json           family, what it promises and for what; of each stage the model with its checksum,
                          precision and prompt, scores and thresholds; the SHA-256 of the other file
    policy.safetensors    weights of gates, routers, curves and probes; absent where nothing is learned

Neither holds code. The second goes by the name of the first, so both can be moved and renamed together.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cclib.confidence.p_ik import PIK
from cclib.policies import gate
from cclib.policies.readings import RECORDED
from cclib.policies.scores import LEARNED, Score
from cclib.policies.stage import Condition, Stage

KIND, VERSION = "cclib policy", 1
TEXTS = ("name", "checksum", "dtype", "prompt", "prompt_hash")  # of a stage, or null
NAMED = {str: "a text", list: "a list", dict: "an object", bool: "true or false", int: "a whole number"}
ANEW = "choose the policy again and save it"


def write(path: Path, family: str, stages: Iterable[Stage], about: Mapping[str, Any]) -> None:
    """Write both files, each aside and then in place of what was there.

    Raises:
        ValueError: the path does not end in .json, or a number of the policy is not finite.
    """
    from safetensors.numpy import save

    if path.suffix != ".json":
        raise ValueError(f"a policy is saved as a .json file, found {str(path)!r}; name it so")
    tensors: dict[str, np.ndarray] = {}
    plain = {"kind": KIND, "version": VERSION, "family": family, "about": dict(about), "weights": None}
    plain["stages"] = [_plain_stage(stage, f"{i}.", tensors) for i, stage in enumerate(stages)]
    weights = save({k: np.ascontiguousarray(v) for k, v in tensors.items()}) if tensors else None
    if weights is not None:
        plain["weights"] = hashlib.sha256(weights).hexdigest()
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False, default=np.generic.item) + "\n"
    if weights is not None:
        _write_aside(path.with_suffix(".safetensors"), weights)
    _write_aside(path, text.encode())


def _write_aside(path: Path, content: bytes) -> None:
    aside = path.with_name(f"{path.name}.partial")
    aside.write_bytes(content)
    aside.replace(path)


def _plain_stage(stage: Stage, at: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    found: dict[str, Any] = {"model": stage.model} | {key: getattr(stage, key) for key in TEXTS}
    found |= {"keep": [], "start": None, "hope": None, "leaves": stage.leaves, "probe": None}
    for role, place, condition in stage.conditions():
        score = condition.score
        plain = {"score": score.kind, "at least": float(condition.threshold)}
        if score.features:
            plain |= {"features": list(score.features), "subjects": list(score.subjects)}
        tensors |= {f"{at}{role}.{place}.{name}": w for name, w in score.weights.items()}
        if role == "keep":
            found["keep"].append(plain)
        else:
            found[role] = plain
    if stage.probe is not None:
        found["probe"] = {"model": stage.probe.model, "layer": int(stage.probe.layer)}
        tensors |= {f"{at}probe.{name}": w for name, w in stage.probe.tensors().items()}
    return found


def read(path: Path) -> tuple[str, tuple[Stage, ...], dict[str, Any]]:
    """The family, the stages, and what else is said of a policy.

    Raises:
        FileNotFoundError: either file is not there.
        ValueError: one is damaged, does not belong to the other, or holds no policy of this version.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no policy at {path}; give the .json file that Policy.save wrote")
    try:
        plain = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is not JSON ({error}); copy it again, or {ANEW}") from error
    if not isinstance(plain, dict) or plain.get("kind") != KIND:
        raise ValueError(f"{path} holds no policy: expected a file that Policy.save wrote")
    if plain.get("version") != VERSION:
        raise ValueError(
            f"{path} is a policy of version {plain.get('version')!r}, and this cclib reads {VERSION}; "
            f"read it with the cclib that wrote it, or {ANEW}"
        )
    try:
        tensors = _weights(path.with_suffix(".safetensors"), _of(plain, "weights", str, None))
        stages = [_stage(s, f"{i}.", tensors) for i, s in enumerate(_of(plain, "stages", list))]
        if not stages:
            raise ValueError("expected a stage or more under 'stages', found none")
        return _of(plain, "family", str), tuple(stages), _of(plain, "about", dict)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; copy both files again, or {ANEW}") from error


def _weights(path: Path, sha256: str | None) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if sha256 is None:
        return {}
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}, which the policy needs; put them beside its .json")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"its weights {path.name} should have the SHA-256 {sha256}, found {found}")
    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(f"its weights {path.name} are not safetensors ({error})") from error


def _stage(plain: Any, at: str, tensors: Mapping[str, np.ndarray]) -> Stage:
    keep = [_condition(c, f"{at}keep.{i}.", tensors) for i, c in enumerate(_of(plain, "keep", list))]
    stage = Stage(_of(plain, "model", str), keep=tuple(keep), leaves=_of(plain, "leaves", bool))
    given = {key: _of(plain, key, str, None) for key in TEXTS}
    for role in ("start", "hope"):
        if (found := _of(plain, role, dict, None)) is not None:
            given[role] = _condition(found, f"{at}{role}.0.", tensors)
    if (probe := _of(plain, "probe", dict, None)) is not None:
        layer = _of(probe, "layer", int)
        given["probe"] = PIK.from_tensors(_of(probe, "model", str), layer, _under(f"{at}probe.", tensors))
    return replace(stage, **given)


def _condition(plain: Any, at: str, tensors: Mapping[str, np.ndarray]) -> Condition:
    kind, threshold = _of(plain, "score", str), _of(plain, "at least", int | float)
    if kind not in RECORDED + LEARNED:
        raise ValueError(f"expected a score of {', '.join(RECORDED + LEARNED)}, found {kind!r}")
    if not math.isfinite(threshold) or isinstance(threshold, bool):
        raise ValueError(f"expected a finite number as the threshold of {kind}, found {threshold}")
    features, subjects = (_texts(plain, key) for key in ("features", "subjects"))
    weights = _under(at, tensors)
    expected = _shapes(kind, features, subjects)
    found = {name: w.shape for name, w in weights.items()}
    if found.keys() != expected.keys() or any(
        shape is not None and found[name] != shape for name, shape in expected.items()
    ):
        raise ValueError(f"expected weights {expected} for the score {kind}, found {found}")
    return Condition(Score(kind, weights, features, subjects), float(threshold))


def _shapes(kind: str, features: tuple, subjects: tuple) -> dict[str, tuple[int, ...] | None]:
    if kind in RECORDED:
        return {}
    if kind == "isotonic":
        return {"x": None, "y": None}
    if kind == "temperature":
        return {"temperature": (1,)}
    return gate.shapes(features, subjects)


def _under(at: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(at): w for name, w in tensors.items() if name.startswith(at)}


def _texts(plain: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = _of(plain, key, list) if key in plain else []
    if not all(isinstance(text, str) for text in found):
        raise ValueError(f"expected a list of texts under {key!r}, found {found!r}")
    return tuple(found)


def _of(plain: Any, key: str, kind: Any, *otherwise: None) -> Any:
    """A value of the JSON, checked; None where that is allowed."""
    found = plain.get(key) if isinstance(plain, dict) else None
    if isinstance(found, kind) or (otherwise and found is None):
        return found
    named = NAMED.get(kind, "a number")
    raise ValueError(f"expected {named} under {key!r}, found {str(found)[:60]!r}")
