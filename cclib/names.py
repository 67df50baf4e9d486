"""How models are named, and what of a name reaches files, pages and the hub.

A model is named by a hub id ("Qwen/Qwen3-4B", or "Qwen/Qwen3-4B@<commit>" to pin it), a local folder, a
GGUF file, an Atlas name ("atlas-s"), a recorded trace, logs of lm-evaluation-harness (a folder, a file, or
"hub:owner/name-details"), or as an endpoint knows it ("openai:gpt-4o"). A family names several at once,
smallest first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(?:@([\w./-]+))?")


# Names of models behind an OpenAI-compatible API: asked through chat, or through plain completion.
API_PREFIXES = ("openai:", "openai-completions:")
RECORDED = (".csv", ".parquet", ".zip")  # files of somebody's answers
HUB = "hub:"  # before a data set of logs on the hub


ATLAS = ("atlas-s", "atlas-m", "atlas-l")


# Families of the paper (Appendix B) and smaller relatives, smallest first.
FAMILIES: dict[str, tuple[str, ...]] = {
    "atlas": ATLAS,
    "llama-3": (
        "meta-llama/Llama-3.2-3B-Instruct",
        "meta-llama/Meta-Llama-3.1-8B-Instruct",
        "meta-llama/Llama-3.3-70B-Instruct",
    ),
    "qwen3": ("Qwen/Qwen3-4B", "Qwen/Qwen3-8B", "Qwen/Qwen3-32B"),
    "qwen3-small": ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B"),
    "qwen2.5-coder": (
        "Qwen/Qwen2.5-Coder-0.5B-Instruct",
        "Qwen/Qwen2.5-Coder-1.5B-Instruct",
    ),
}


def expand_family(models: str | Sequence[str]) -> list[str]:
    """["atlas-s", "atlas-m", "atlas-l"] for "atlas"; a list of names is returned as it is.

    A list may also come as JSON text, which is how papermill's command line hands it over.

    Raises:
        ValueError: the family is unknown, or a model is named twice.
    """
    if isinstance(models, str) and models.lstrip().startswith("["):
        try:
            models = json.loads(models)
        except json.JSONDecodeError as error:
            raise ValueError(f"models is not a list of names in JSON ({error}); found {models!r}") from error
    if isinstance(models, str):
        if models not in FAMILIES:
            raise ValueError(
                f"unknown family {models!r}; known: {', '.join(FAMILIES)}; "
                "or give a list of models, smallest first"
            )
        models = FAMILIES[models]
    if not isinstance(models, Sequence) or not all(isinstance(m, str | Path) for m in models):
        raise ValueError(f"models must be a family's name or a list of models' names, found {models!r}")
    names = [str(name) for name in models]
    if not names or len(set(map(slug, names))) < len(names):
        raise ValueError(f"models must be one or more different models, smallest first; found {names}")
    return names


def slug(name: str | Path) -> str:
    """The name of a model's folder of traces: the last part of its path or id, lower case.

    A pin is left out; a model behind an API keeps its prefix: it is not the record of a local one of the same
    name. What is fit for neither a file's name nor a page becomes a dash.
    """
    prefix = next((p for p in API_PREFIXES if str(name).startswith(p)), "")
    whole = str(name).removeprefix(prefix).rstrip("/")
    if pin := pinned(whole):
        whole = whole.removesuffix(f"@{pin}")
    if whole.startswith(HUB):  # hub:open-llm-leaderboard/owner__name-details
        whole = whole.removesuffix("-details").rpartition("__")[2]
    elif file_and_model(whole)[1]:
        whole = file_and_model(whole)[1]
    elif Path(whole).suffix.lower() in (".json", ".jsonl") and Path(whole).parent.name:
        whole = Path(whole).parent.name  # one file of a model's logs
    last = Path(whole).name.lower().removesuffix(".gguf").lstrip(".")
    if not plain_name(last):
        raise ValueError(f"a model needs a name, found {str(name)!r}; give a hub id, a folder or a file")
    return plain_name(prefix + last)


def is_api(name: object) -> bool:
    """Whether this names a model behind an API."""
    return isinstance(name, str) and name.startswith(API_PREFIXES)


def runs_here(name: str | Path) -> bool:
    """Whether this names a model that can be loaded: neither an API's nor a recorded trace nor logs."""
    recorded = file_and_model(name)[0].suffix.lower() in RECORDED
    return not is_api(name) and not recorded and not is_log(name)


def file_and_model(name: str | Path) -> tuple[Path, str | None]:
    """The file of "answers.parquet#llama-3.1-8b", and whose answers of those in it; no name where all are."""
    file, _, model = str(name).rpartition("#")
    return (Path(file), model) if Path(file).suffix.lower() in RECORDED else (Path(name), None)


def is_log(name: str | Path) -> bool:
    """Whether this names logs of lm-evaluation-harness: what it wrote of a run, or a data set of the hub."""
    if not isinstance(name, str | Path) or str(name) in ("", "."):  # an empty name is no folder's
        return False
    path = Path(name).expanduser()
    if str(name).startswith(HUB) or path.suffix.lower() in (".json", ".jsonl"):
        return True
    if path == Path("."):  # an empty name is one too
        return False
    if path.is_file():
        return holds_samples(path)
    if not path.is_dir() or (path / "config.json").exists() or (path / "provenance.json").exists():
        return False
    return any(within(path, "samples_*", "results*.json")) or any(
        map(holds_samples, within(path, "*.parquet"))
    )


def within(folder: Path, *patterns: str) -> Iterator[Path]:
    """The files of these patterns in a folder and as deep as logs lie in it: two folders down."""
    return (found for below in ("", "*/", "*/*/") for p in patterns for found in folder.glob(below + p))


def holds_samples(path: Path) -> bool:
    """Whether this is a Parquet table of samples, as leaderboards publish them."""
    if path.suffix.lower() != ".parquet":
        return False
    import pyarrow.parquet as pq

    try:
        return {"doc", "target", "resps"} <= set(pq.read_schema(path).names)
    except (OSError, ValueError):
        return False  # damaged: whoever reads it says so


def pinned(name: str | Path) -> str | None:
    """The commit, tag or branch that a hub id pins: "abc123" of "Qwen/Qwen3-4B@abc123"."""
    found = HUB_ID.fullmatch(str(name))
    return found[1] if found and not Path(name).exists() else None


def plain_name(name: str) -> str:
    """A name with a dash for what Markdown, HTML, LaTeX, a shell or a file system would act on."""
    return re.sub(r"[^\w.,+@/-]+", "-", name)


def verbatim(text: object) -> str:
    """Somebody else's text as one line of Markdown that shows it as it is.

    Every ASCII punctuation mark becomes a character reference, which MyST never reads as markup, role,
    directive, formula or `{{ substitution }}`. Control characters, and those that turn the direction of
    writing round, are shown as U+FFFD.
    """
    line = " ".join(str(text).split())
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "\ufffd", line)
    return re.sub(r"[!-/:-@\[-`{-~]", lambda mark: f"&#{ord(mark[0])};", line)
