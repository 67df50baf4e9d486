"""Language models: how they are named, found, loaded and described.

A model is named by a hub id ("Qwen/Qwen3-4B", or "Qwen/Qwen3-4B@<commit>" to pin it), a local folder, a
GGUF file, an Atlas name ("atlas-s"), or as an endpoint knows it ("openai:gpt-4o", see cclib.api). A family
names several models at once, smallest first. Torch and transformers are imported only when a model is
loaded, so that replaying recorded traces needs neither.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cclib import prompts
from cclib.names import pinned, plain_name
from cclib.weights import ATLAS, TRUST, checksum, locate, refused

if TYPE_CHECKING:
    from cclib.api import APIModel

# Names of models behind an OpenAI-compatible API: asked through chat, or through plain completion.
API_PREFIXES = ("openai:", "openai-completions:")

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
    last = Path(whole).name.lower().removesuffix(".gguf").lstrip(".")
    if not plain_name(last):
        raise ValueError(f"a model needs a name, found {str(name)!r}; give a hub id, a folder or a file")
    return plain_name(prefix + last)


def is_api(name: object) -> bool:
    """Whether this names a model behind an API."""
    return isinstance(name, str) and name.startswith(API_PREFIXES)


def runs_here(name: str | Path) -> bool:
    """Whether this names a model that can be loaded: neither an API's nor a recorded trace."""
    return not is_api(name) and Path(name).suffix.lower() not in (".csv", ".parquet")


@dataclass
class LanguageModel:
    """A loaded causal language model with its tokenizer and what a record must say of it."""

    name: str
    network: Any = field(repr=False)  # transformers PreTrainedModel, in eval mode
    tokenizer: Any = field(repr=False)
    device: str
    dtype: str
    checksum: str  # sha256 of the weights, or the hub's commit
    revision: str | None = None  # as asked for: a hub commit, tag or branch

    @property
    def slug(self) -> str:
        return slug(self.name)

    @property
    def config(self) -> Any:
        """The text model's configuration (a multimodal one, such as Gemma 3's, nests it)."""
        return self.network.config.get_text_config()

    @property
    def n_layers(self) -> int:
        return self.config.num_hidden_layers

    @property
    def d_model(self) -> int:
        return self.config.hidden_size

    @cached_property
    def parameters(self) -> int:
        """All weights, embeddings included, tied ones counted once."""
        return sum(p.numel() for p in self.network.parameters())

    @property
    def context_length(self) -> int:
        return getattr(self.config, "max_position_embeddings", 1 << 30)

    @cached_property
    def layers(self) -> Any:
        """The list of transformer layers, wherever this architecture keeps it."""
        lists = [m for n, m in self.network.named_modules() if n.split(".")[-1] == "layers"]
        return next(m for m in lists if len(m) == self.n_layers)

    def provenance(self) -> dict[str, Any]:
        """Everything needed to say which model, on what, made a trace."""
        return {
            "model": self.name if not Path(self.name).exists() else Path(self.name).name,
            "checksum": self.checksum,
            "revision": self.revision,
            "architecture": self.config.model_type,
            "parameters": self.parameters,
            "n_layers": self.n_layers,
            "d_model": self.d_model,
            "dtype": self.dtype,
            "device": _device_name(self.device),
            "versions": {
                package: version(package) for package in ("torch", "transformers", "tokenizers", "numpy")
            },
        }

    def encode(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=True)["input_ids"]

    def option_tokens(self, prompt: str, n_options: int) -> list[int]:
        """The token that each option's letter is, right after `prompt` ("... Answer:").

        " A" is looked for first, then "A": whichever the tokenizer makes one token of in context.

        Raises:
            ValueError: neither form of some letter is a single token.
        """
        stem = self.encode(prompt)
        for lead in (" ", ""):
            tokens = []
            for letter in prompts.LETTERS[:n_options]:
                whole = self.encode(prompt + lead + letter)
                if len(whole) != len(stem) + 1 or whole[:-1] != stem:
                    break
                tokens.append(whole[-1])
            if len(set(tokens)) == n_options:
                return tokens
        raise ValueError(
            f"{self.name}: after {prompt[-10:]!r} an option's letter is not one token "
            f"(found {self.tokenizer.convert_ids_to_tokens(whole[len(stem) :])} for {letter!r}); "
            "P(T) needs single-token options, so this tokenizer cannot be used"
        )


def load_model(
    name: str | Path,
    device: str | None = None,
    dtype: str = "auto",
    revision: str | None = None,
    base_url: str | None = None,
    budget: str | None = None,
    trust: Collection[str] = (),
) -> LanguageModel | APIModel:
    """Load a model by hub id, local folder, GGUF file or Atlas name, or connect to one behind an API.

    Args:
        device: a torch device, or "auto" to spread a large model over all GPUs; default: the GPU if
            there is one, else the CPU.
        dtype: a torch dtype's name; "auto" is float32 on a CPU and bfloat16 on a GPU.
        revision: the hub commit or tag to pin; "owner/name@revision" does the same.
        base_url, budget: of a model behind an API; see `cclib.api.connect`.
        trust: what may run code of the model's maker, and is refused otherwise: "pickle" (weights that are
            not safetensors or GGUF), "remote_code" (Python files beside the weights).

    Raises:
        FileNotFoundError: the file or folder is not there.
        ValueError: the name is none of these, the hub has no such model, or it asks for trust.
    """
    if not isinstance(name, str | Path):
        raise ValueError(f"a model is named by a text or a path, found {type(name).__name__}")
    unknown = set(trust) - TRUST if not isinstance(trust, str) else {trust}
    if unknown:
        raise ValueError(f"trust is a tuple of {' and '.join(sorted(TRUST))}, found {trust!r}")
    if is_api(name):
        from cclib.api import connect

        return connect(str(name), base_url, budget)
    if base_url is not None or budget is not None:
        raise ValueError(f"base_url and budget are for models behind an API, such as 'openai:{name}'")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # weights load in a moment; what takes long has a bar of its own
    place, options = locate(name, revision, trust)
    options["trust_remote_code"] = "remote_code" in trust  # never left open: transformers would ask
    spread = device == "auto"
    if device is None or spread:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    try:
        torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device must be one of torch's, such as cpu, cuda, cuda:1 or mps, or auto; found {device!r}"
        ) from error
    if not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ValueError(f"dtype must be a torch dtype such as float32 or bfloat16, found {dtype!r}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        network = AutoModelForCausalLM.from_pretrained(
            place,
            dtype=getattr(torch, dtype),
            device_map="auto" if spread else None,
            # "packed" is registered by cclib.packs; until then sdpa computes the same thing
            attn_implementation="sdpa",
            **options,
        )
    except (OSError, ValueError) as error:
        if "trust_remote_code" in str(error):
            raise refused(name, "it comes with Python code of its own", "remote_code") from error
        raise ValueError(
            f"model {str(name)!r} could not be loaded: {str(error).splitlines()[0]} "
            "Give a hub id (and accept its licence there if it is gated), a folder with config.json, "
            f"a .gguf file, or one of {', '.join(ATLAS)}"
        ) from error
    network.eval().requires_grad_(False)
    # generating gives the head a slice, which torch would multiply by one copy of the weights a prompt
    network.get_output_embeddings().register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))
    if not spread:
        network.to(device)
    return LanguageModel(
        name=str(name),
        network=network,
        tokenizer=tokenizer,
        device=device,
        dtype=dtype,
        checksum=checksum(place, options),
        revision=options.get("revision"),
    )


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{device} ({platform.machine()})"
