"""A real OpenAI-compatible server, llama.cpp's, in a process of its own; and Atlas in the file it reads.

Run as a script it serves a GGUF file on a free port of 127.0.0.1 until its input closes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np

TENSORS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(folder: Path, path: Path) -> Path:
    """A Llama with a byte-level BPE tokenizer, as transformers keeps it, in llama.cpp's format."""
    import gguf
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])

    tokens = {i: t for t, i in tokenizer["model"]["vocab"].items()}
    kinds = dict.fromkeys(tokens, gguf.TokenType.NORMAL)
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")  # digits one by one, then GPT-2's pattern, as Atlas has it
    writer.add_token_list([tokens[i] for i in range(len(tokens))])
    writer.add_token_types([kinds[i] for i in range(len(tokens))])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for message in messages %}{{ message.content }}{% endfor %}")

    for name, weight in load_file(folder / "model.safetensors").items():
        name = name.removeprefix("model.").removesuffix(".weight")
        if name == "embed_tokens":
            name = "token_embd"
        elif name == "norm":
            name = "output_norm"
        else:
            _, block, part = name.split(".", 2)
            name = f"blk.{block}.{TENSORS[part]}"
            for kind, n in (("attn_q", heads), ("attn_k", kv_heads)):  # halves of a head interleaved
                if name.endswith(kind):
                    halves = weight.reshape(n, 2, len(weight) // n // 2, -1)
                    weight = halves.swapaxes(1, 2).reshape(weight.shape)
        weight = weight.astype(np.float32)
        writer.add_tensor(f"{name}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@contextmanager
def serving(gguf: Path, name: str):
    """Serve a file; the base URL of its API."""
    run = subprocess.Popen(
        [sys.executable, __file__, str(gguf), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={k: v for k, v in os.environ.items() if "KEY" not in k},
    )
    try:
        for line in run.stdout:
            if line.startswith("http://127.0.0.1"):
                break
        else:
            raise RuntimeError(f"the server of {gguf.name} ended with status {run.wait()}")
        yield line.strip() + "/v1"
    finally:
        run.stdin.close()
        run.terminate()
        run.wait()


def main(gguf: str, name: str) -> None:
    import xllamacpp

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.offline = True
    params.n_parallel = 4
    params.n_ctx = 8192
    params.warmup = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
