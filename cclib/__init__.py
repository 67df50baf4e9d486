"""Confidence-driven cascades of language models, measured.

The public calls, imported on first use: reading recorded traces loads neither torch nor transformers.
"""

import warnings
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# tqdm warns each kernel without ipywidgets, as soon as transformers is imported; nothing here needs them
warnings.filterwarnings("ignore", message="IProgress not found")

_HOME = {
    "Question": "questions",
    "load_benchmark": "benchmarks",
    "split": "questions",
    "load_model": "models.load",
    "Trace": "traces",
    "collect": "recording",
    "cascade": "cascades",
    "sweep": "cascades",
    "few_shot": "prompts",
    "read_trace": "traces",
    "PIK": "confidence.p_ik",
    "ask": "live",
    "live_cascade": "live",
    "load_study": "study",
    "export_study": "study",
    "choose_thresholds": "thresholds",
    "choose_policy": "policies",
    "Policy": "policies",
    "run_card": "experiments.results",
    "verbatim": "names",
}
_MODULES = {
    "atlas", "benchmarks", "cost", "names", "paper", "policies", "prices", "prompts", "questions",
    "recording", "stats", "study", "thresholds", "traces",
}  # fmt: skip

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"cclib.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"cclib.{name}")
    else:
        raise AttributeError(f"module 'cclib' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_MODULES})
