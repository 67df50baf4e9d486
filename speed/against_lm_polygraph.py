"""Our estimators against lm-polygraph 0.7 on the same outputs of the same model.

It is no dependency of this project. In an environment of its own that has it (pip install -e ".[compare]"):

python speed/against_lm_polygraph.py                  # largest differences; fails above 2e-4
python speed/against_lm_polygraph.py --write tests/lm_polygraph.json   # what the tests compare with
"""

import json
from pathlib import Path

import numpy as np
import typer

import cclib
from cclib.confidence.generation import continuations
from cclib.experiments.estimators import prompted, sampled
from cclib.questions import spread

TOLERANCE = 2e-4  # lm-polygraph forbids the end token at first, which scales the other tokens up a little


def main(model: str = "atlas-s", questions: int = 24, write: Path | None = None) -> None:
    """Generate with lm-polygraph, score its tokens with ours, and compare what has the same name."""
    try:
        from lm_polygraph import WhiteboxModel, estimators
        from lm_polygraph.stat_calculators import EntropyCalculator, GreedyProbsCalculator
        from lm_polygraph.stat_calculators.prompt import PromptCalculator
    except ModuleNotFoundError as error:
        typer.echo(f"not run: {error.name} is not installed (pip install -e '.[compare]')")
        return
    ours = cclib.load_model(model)
    ours.tokenizer.padding_side = "left"  # lm-polygraph pads with it; this project never does
    theirs = WhiteboxModel(ours.network, ours.tokenizer, model_path=model)
    opened = spread(cclib.load_benchmark("atlas-open"), questions)
    chosen = spread(cclib.load_benchmark("atlas"), questions)
    prompts = [q.prompt for q in opened]
    ours.network.set_attn_implementation("sdpa")
    calculate = GreedyProbsCalculator(output_attentions=False)
    found = calculate({}, prompts, theirs, max_new_tokens=6)
    found |= EntropyCalculator()(found)
    tokens = found["greedy_tokens"]
    answers = [f"A. {q.choices[0]}" for q in chosen]
    true = [
        prompted.IS_IT_TRUE.format(question=prompted.stated(q), answer=a) for q, a in zip(chosen, answers)
    ]
    log_probs = []
    for token in ours.tokenizer.convert_ids_to_tokens(ours.option_tokens(true[0], 2)):
        ask = PromptCalculator()
        ask.prompt, ask.expected = "{q}", ours.tokenizer.convert_tokens_to_string([token])
        read = ask({"greedy_texts": [""] * len(true), "input_texts": true}, true, theirs)
        log_probs.append(-estimators.PTrue()(read))
    p_true = np.exp(log_probs[0]) / np.exp(log_probs).sum(0)
    samples = continuations(ours, [ours.encode(p) for p in prompts], 6, 5)
    texts = [[ours.tokenizer.decode(s) for s in several] for several in samples]
    clusters = np.array([sampled.meanings(several) for several in texts])
    weights = np.log(np.random.default_rng(0).uniform(0.01, 0.2, clusters.shape))
    semantic = {"semantic_classes_entail": _classes(clusters), "sample_texts": texts}
    values = {
        "mean token entropy": estimators.MeanTokenEntropy()(found),
        "sequence probability": np.exp(-estimators.MaximumSequenceProbability()(found)),
        "mean token probability": np.exp(-estimators.Perplexity()(found)),
        "P(True)": p_true,
        "semantic entropy, counts": estimators.SemanticEntropy(class_probability_estimation="frequency")(
            semantic
        ),
        "semantic entropy, likelihoods": estimators.SemanticEntropy()(
            semantic | {"sample_log_probs": weights.tolist()}
        ),
    }
    record = {
        "model": model,
        "checksum": ours.checksum,
        "prompts": prompts,
        "tokens": [list(map(int, t)) for t in tokens],
        "true": true,
        "clusters": clusters.tolist(),
        "weights": weights.tolist(),
        "values": {name: np.asarray(v, float).round(9).tolist() for name, v in values.items()},
    }
    worst = {}
    for name, mine in compute(ours, record).items():
        worst[name] = float(np.abs(mine - np.asarray(record["values"][name])).max())
        typer.echo(f"{name}: largest difference {worst[name]:.1e} on {len(mine)} questions")
    if write:
        write.write_text(json.dumps(record) + "\n")
    if max(worst.values()) > TOLERANCE:
        raise typer.Exit(1)


def compute(model: cclib.models.LanguageModel, record: dict) -> dict[str, np.ndarray]:
    """Our values for what a record of lm-polygraph holds."""
    scored = sampled.score_tokens(model, [model.encode(p) for p in record["prompts"]], record["tokens"])
    probs, _ = prompted.next_token(model, record["true"], model.option_tokens(record["true"][0], 2))
    clusters, weights = np.array(record["clusters"]), np.array(record["weights"])
    return {
        "mean token entropy": np.array([s.mean_entropy for s in scored]),
        "sequence probability": np.array([s.sequence_probability for s in scored]),
        "mean token probability": np.array([s.mean_probability for s in scored]),
        "P(True)": probs[:, 0] / probs.sum(1),
        "semantic entropy, counts": sampled.semantic_entropy(clusters),
        "semantic entropy, likelihoods": sampled.semantic_entropy(clusters, weights),
    }


def _classes(clusters: np.ndarray) -> dict:
    """Clusters (n, k) as lm-polygraph keeps them."""
    members = [[np.flatnonzero(row == c).tolist() for c in np.unique(row)] for row in clusters]
    places = [np.unique(row, return_inverse=True)[1].tolist() for row in clusters]
    return {"class_to_sample": dict(enumerate(members)), "sample_to_class": dict(enumerate(places))}


if __name__ == "__main__":
    typer.run(main)
