"""Loading a model by its name, or connecting to one behind an API.

Torch and transformers are imported only when a model is loaded, so that replaying recorded traces
needs neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from cclib.models.api import APIModel
from cclib.models.local import LanguageModel
from cclib.models.stored import quantisation
from cclib.models.weights import TRUST, checksum, locate, refuse_incomplete, refused
from cclib.names import ATLAS, is_api


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
        base_url, budget: of a model behind an API; see `cclib.models.api.connect`.
        trust: what may run code of the model's maker, and is refused otherwise: "pickle" (weights that are
            not safetensors or GGUF), "remote_code" (Python files beside the weights).

    Raises:
        FileNotFoundError: the file or folder is not there.
        ValueError: the name is none of these, the hub has no such model, or it asks for trust; it is no
            model that continues a text; its weights are not all there, or are another model's.
    """
    if not isinstance(name, str | Path):
        raise ValueError(f"a model is named by a text or a path, found {type(name).__name__}")
    unknown = set(trust) - TRUST if not isinstance(trust, str) else {trust}
    if unknown:
        raise ValueError(f"trust is a tuple of {' and '.join(sorted(TRUST))}, found {trust!r}")
    if is_api(name):
        from cclib.models.api import connect

        return connect(str(name), base_url, budget)
    if base_url is not None or budget is not None:
        raise ValueError(f"base_url and budget are for models behind an API, such as 'openai:{name}'")
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

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
        with _quietly():
            config = AutoConfig.from_pretrained(place, **options)
            if config.is_encoder_decoder:
                raise ValueError("it reads with an encoder, and is no model that continues a text.")
            tokenizer = AutoTokenizer.from_pretrained(place, config=config, **options)
            network, found = AutoModelForCausalLM.from_pretrained(
                place,
                config=config,
                dtype=getattr(torch, dtype),
                device_map="auto" if spread else None,
                ignore_mismatched_sizes=True,  # so that they are named, and refused, with the others
                output_loading_info=True,
                **options,
            )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # damaged files, and models that transformers does not know, raise anything
        if "trust_remote_code" in str(error):
            raise refused(name, "it comes with Python code of its own", "remote_code") from error
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        advice = (
            "Give a hub id (and accept its licence there if it is gated), a folder with config.json, "
            f"a .gguf file, or one of {', '.join(ATLAS)}"
        )
        raise ValueError(
            f"model {str(name)!r} could not be loaded: {reason}"
            + (f" {advice}" if isinstance(error, OSError) else "")
        ) from error
    refuse_incomplete(name, found)
    network.eval().requires_grad_(False)
    # generating gives the head a slice, which torch would multiply by one copy of the weights a prompt
    if head := network.get_output_embeddings():
        head.register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))
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
        quantisation=quantisation(place, options),
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Inside, transformers shows neither bars nor reports (what is wrong with weights is raised)."""
    from huggingface_hub import utils as hub
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging

    gguf.tqdm = logging.tqdm  # the one bar that would not be switched off with the others
    bars, hub_bars = logging.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    verbosity = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        (hub.enable_progress_bars if hub_bars else hub.disable_progress_bars)()
