"""A loaded language model: its tokens, its layers, and what a record must say of it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cclib import prompts
from cclib.names import slug
from cclib.prompts import Prompt
from cclib.questions import Question


@dataclass(frozen=True)
class HowRead:
    """Whether prompts share a pass with others (`cclib.confidence.reading` decides), and why."""

    together: int  # tokens of the longest prompt that shares a pass; longer ones have one of their own
    why: str

    def __str__(self) -> str:
        return "packed" if self.together else "one prompt a pass"


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
    quantisation: str | None = None  # of its files, whatever precision they are used in
    how_read: HowRead | None = None  # not known before the first prompts are read
    prompt: Prompt = field(default_factory=Prompt, repr=False)  # how it is asked

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
        """Tokens that fit; a configuration without a limit names none, or a negative one."""
        limit = getattr(self.config, "max_position_embeddings", None) or 0
        return limit if limit > 0 else 1 << 30

    @cached_property
    def layers(self) -> Any:
        """The list of decoder layers, whatever this architecture calls it.

        Raises:
            ValueError: there is no list of `n_layers` modules.
        """
        lists = [
            m for m in self.network.modules() if type(m).__name__ == "ModuleList" and len(m) == self.n_layers
        ]
        if not lists:
            raise ValueError(
                f"{self.name}: {self.config.model_type} keeps no list of its {self.n_layers} layers, so no "
                "hidden state can be read; such a model cannot be used"
            )
        return max(lists, key=lambda m: sum(p.numel() for p in m.parameters()))

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
            "quantisation": self.quantisation,
            "dtype": self.dtype,
            "head": "float32" if self.dtype in ("bfloat16", "float16") else self.dtype,  # of the vocabulary
            "device": _device_name(self.device),
            "prompt": self.prompt.name,
            "prompt_hash": self.prompt.hash(self.chat_template),
            "has_chat_template": self.chat_template is not None,
            "reading": self.how_read and f"{self.how_read}: {self.how_read.why}",
            "versions": {
                package: version(package) for package in ("torch", "transformers", "tokenizers", "numpy")
            },
        }

    @property
    def chat_template(self) -> str | None:
        """The template of its chat roles; of several, the plain one."""
        found = getattr(self.tokenizer, "chat_template", None)
        return found.get("default") if isinstance(found, dict) else found

    def asked(self, prompt: str | Prompt, is_open: bool = False) -> LanguageModel:
        """The same model, asked with another prompt.

        Raises:
            ValueError: it has no chat template, and the prompt is in chat roles.
        """
        prompt = prompts.resolved(prompts.read_prompt(prompt), is_open, self.chat_template is not None)
        if prompt.chat and self.chat_template is None:
            raise ValueError(
                f"{self.name} has no chat template, so {prompt.name} is no prompt for it; give table-7, "
                "few-shot, or auto, which asks in roles where there are any"
            )
        return self if prompt == self.prompt else replace(self, prompt=prompt)

    def text(self, question: Question) -> str:
        """What it reads for a question."""
        if not self.prompt.chat:
            return self.prompt.text(question)
        return prompts.wrapped(self.tokenizer, self.chat_template, self.prompt.messages(question), self.name)

    def encode(self, text: str) -> list[int]:
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts; those of a chat template hold the tokenizer's special tokens already."""
        return self.tokenizer(list(texts), add_special_tokens=not self.prompt.chat)["input_ids"]

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


def default_layer(n_layers: int) -> int:
    """The layer nearest to 24/28 of the depth: the paper's 24th of Llama-3.2-3B's 28."""
    return max(1, round(n_layers * 24 / 28))


def check_layer(layer: int | None, n_layers: int) -> int:
    if layer is None:
        return default_layer(n_layers)
    if not isinstance(layer, int | np.integer) or not 1 <= layer <= n_layers:
        raise ValueError(f"layer must be from 1 to {n_layers} (this model's depth), found {layer!r}")
    return layer


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{device} ({platform.machine()})"
