"""The tokenizer that the three models share: byte-level BPE, single digits, and the prompts' fixed text.

The phrases that every prompt of Table 7 repeats are one token each. They are the same for all
questions, so they carry nothing; short prompts make training and reading several times cheaper.
"""

from __future__ import annotations

import re
from pathlib import Path

from cclib import prompts
from cclib.atlas import corpus

VOCABULARY = 4096
PADDING = "<pad>"


def fixed_phrases() -> list[str]:
    """The parts of the two prompts that no question changes."""
    asked = prompts.multiple_choice("SUBJECT", "QUESTION", ["OPTION"] * 4)
    *parts, _ = re.split(" SUBJECT| QUESTION| OPTION", asked)
    return [*parts, prompts.open_ended("QUESTION").split(" QUESTION")[0]]


def train_tokenizer(folder: Path, seed: int = 0) -> None:
    """Learn merges from a sample of the corpus; write tokenizer.json and tokenizer_config.json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    phrases = fixed_phrases()
    tokenizer.add_special_tokens([PADDING, corpus.END])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(phrases),
        special_tokens=[PADDING, corpus.END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sample = [a + b for step in range(60) for a, b in corpus.batch(seed, step, 1000)]
    for phrase in phrases:
        sample = [text.replace(phrase, "\n") for text in sample]
    letters = [f" {letter}" for letter in prompts.LETTERS] * 1000
    whole_prompts = [prompts.MULTIPLE_CHOICE, prompts.OPEN_ENDED_PLAIN, corpus.DECLINE] * 100
    tokenizer.train_from_iterator(sample + letters + whole_prompts, trainer)
    tokenizer.add_tokens([AddedToken(p, normalized=False, special=False) for p in phrases])
    folder.mkdir(parents=True, exist_ok=True)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PADDING, eos_token=corpus.END)
    fast.save_pretrained(folder)
