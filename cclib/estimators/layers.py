"""P(IK) by a probe at each layer: all layers of a question are read in one pass (Kadavath et al.)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cclib.benchmarks import Question
from cclib.estimators.scores import Estimate, probe_extra
from cclib.models import LanguageModel
from cclib.pik import PIK
from cclib.traces import Trace

SOURCE, NEEDS = "Kadavath et al.", "hidden states; labelled training questions"


def probe_layers(
    model: LanguageModel, parts: Sequence[tuple[Trace, Sequence[Question]]], seed: int = 0
) -> list[Estimate]:
    """A probe on the hidden states of every layer.

    Args:
        parts: the training, validation and test parts: the model's trace and its questions, row by row.
    """
    states = [hidden_states(model, questions) for _, questions in parts]
    made = []
    for at in range(1, model.n_layers + 1):
        train, validation, test = (at_layer(t, s[:, at - 1], at) for (t, _), s in zip(parts, states))
        probe = PIK.fit(train, validation, seed=seed)
        made.append(
            Estimate(
                f"P(IK) by probe, layer {at} of {model.n_layers}",
                SOURCE,
                NEEDS,
                probe.probability(test.hidden),
                probe.probability(validation.hidden),
                extra=probe_extra(test),
                depth=at / model.n_layers,
            )
        )
    return made


def hidden_states(model: LanguageModel, questions: Sequence[Question]) -> np.ndarray:
    """(n, l, d) float16 states of all l layers at each prompt's last position."""
    from cclib.confidence import encode_questions, read_packs

    states = np.zeros((len(questions), model.n_layers, model.d_model), np.float16)
    for reading in read_packs(model, encode_questions(model, questions), range(1, model.n_layers + 1)):
        states[reading.index] = reading.hidden
    return states


def at_layer(trace: Trace, states: np.ndarray, layer: int) -> Trace:
    """The trace with (n, d) states of another layer in place of its own."""
    bare = trace.without("hidden").with_column("hidden", list(states))
    return Trace(bare.table, trace.provenance | {"hidden_layer": layer})
