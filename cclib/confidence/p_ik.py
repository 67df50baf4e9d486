"""P(IK): a small probe on a hidden state that says how likely the model is to answer right.

Protocol (Section 2.2, Appendix H): features are the hidden state at one layer and the prompt's last
position, the label is whether the model's answer was right. A multi-layer perceptron is fitted on the
training part, stopped and calibrated on the validation part, and never sees the test part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cclib.questions import check_seed
from cclib.traces import Trace

HIDDEN_UNITS = 128
DROPOUT = 0.2
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
BATCH = 128
MAX_EPOCHS = 60
PATIENCE = 8


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: matrices this small lose more by waiting for each other than they gain.

    On a busy machine they wait for minutes; and one thread sums in the same order everywhere.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class PIK:
    """A fitted probe. All arrays are float32; `d` is the model's hidden size."""

    model: str
    layer: int
    mean: np.ndarray  # (d,)
    scale: np.ndarray  # (d,)
    w1: np.ndarray  # (d, h)
    b1: np.ndarray  # (h,)
    w2: np.ndarray  # (h,)
    b2: np.ndarray  # ()
    slope: np.ndarray  # () Platt calibration: sigmoid(slope * logit + offset)
    offset: np.ndarray  # ()

    @classmethod
    def fit(cls, train: Trace, validation: Trace, seed: int = 0) -> PIK:
        """Fit on one trace, stop early and calibrate on another, of the same model and layer.

        Raises:
            ValueError: no hidden states, hidden states of different models, or labels of one kind only.
        """
        import torch
        from sklearn.linear_model import LogisticRegression

        check_seed(seed)
        for part, trace in (("training", train), ("validation", validation)):
            if not isinstance(trace, Trace):
                raise ValueError(f"the {part} part must be a Trace, found {trace!r}")
            if trace.hidden is None:
                raise ValueError(
                    f"{trace.model}: the {part} trace has no hidden states, which the probe reads; "
                    "collect it from a local model, or use its recorded p_ik"
                )
            if not np.isfinite(trace.hidden).all():
                raise ValueError(
                    f"{trace.model}: some hidden states of the {part} trace are not finite; record them in "
                    "another precision (dtype)"
                )
            if len(set(trace.correct.tolist())) < 2:
                raise ValueError(
                    f"{trace.model}: all {len(trace)} {part} answers are "
                    f"{'right' if trace.correct.all() else 'wrong'}, so there is nothing to learn; "
                    "record more questions"
                )
        if (train.model, train.hidden_layer) != (validation.model, validation.hidden_layer):
            raise ValueError(
                f"training ({train.model}, layer {train.hidden_layer}) and validation "
                f"({validation.model}, layer {validation.hidden_layer}) traces are of different making"
            )
        mean, scale = train.hidden.mean(0), train.hidden.std(0) + 1e-6
        x, y = _tensors(train, mean, scale)
        x_val, y_val = _tensors(validation, mean, scale)
        generator = torch.Generator().manual_seed(seed)
        # the caller's random state is left as it was
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = torch.nn.Sequential(
                torch.nn.Linear(x.shape[1], HIDDEN_UNITS),
                torch.nn.ReLU(),
                torch.nn.Dropout(DROPOUT),
                torch.nn.Linear(HIDDEN_UNITS, 1),
            )
            optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
            loss_of = torch.nn.functional.binary_cross_entropy_with_logits
            best, best_loss, waited = None, np.inf, 0
            for _epoch in range(MAX_EPOCHS):
                net.train()
                for rows in torch.randperm(len(x), generator=generator).split(BATCH):
                    optimizer.zero_grad()
                    loss_of(net(x[rows])[:, 0], y[rows]).backward()
                    optimizer.step()
                net.eval()
                with torch.no_grad():
                    loss = float(loss_of(net(x_val)[:, 0], y_val))
                waited += 1
                if loss < best_loss:
                    best_loss, waited = loss, 0
                    best = {k: v.clone() for k, v in net.state_dict().items()}
                if waited >= PATIENCE:
                    break
            net.load_state_dict(best)
        net.eval()
        with torch.no_grad():
            logit = net(x_val).numpy()  # (n, 1)
        # so little regularisation that the fit is plain Platt scaling
        platt = LogisticRegression(C=1e6).fit(logit, y_val.numpy().astype(int))
        weights = {k: v.numpy() for k, v in net.state_dict().items()}
        return cls(
            model=train.model,
            layer=train.hidden_layer or 0,
            mean=mean.astype(np.float32),
            scale=scale.astype(np.float32),
            w1=weights["0.weight"].T.copy(),
            b1=weights["0.bias"],
            w2=weights["3.weight"][0],
            b2=weights["3.bias"][0],
            slope=np.float32(platt.coef_[0, 0]),
            offset=np.float32(platt.intercept_[0]),
        )

    def probability(self, hidden: np.ndarray) -> np.ndarray:
        """(n,) P(IK) of hidden states (n, d)."""
        if hidden.ndim != 2 or hidden.shape[1] != len(self.mean):
            raise ValueError(
                f"this probe of {self.model} reads hidden states of width {len(self.mean)}, found shape "
                f"{hidden.shape}; fit a probe for the model at hand"
            )
        x = (hidden - self.mean) / self.scale  # (n, d)
        logit = np.maximum(x @ self.w1 + self.b1, 0) @ self.w2 + self.b2  # (n,)
        return 1 / (1 + np.exp(-(self.slope * logit + self.offset).astype(float)))

    def score(self, trace: Trace) -> Trace:
        """The trace with a `p_ik` column."""
        if trace.hidden is None:
            raise ValueError(
                f"{trace.model}: the trace has no hidden states to read P(IK) from; "
                "collect it from a local model, or pass pik=None to cclib.cascade"
            )
        return trace.with_column("p_ik", self.probability(trace.hidden))

    @staticmethod
    def protocol() -> list[float]:
        """The settings a fit depends on, so that a kept probe is known by them."""
        return [HIDDEN_UNITS, DROPOUT, LEARNING_RATE, WEIGHT_DECAY, BATCH, MAX_EPOCHS, PATIENCE]

    def flops(self) -> int:
        """Add-multiply operations of reading the probe once."""
        return 2 * (self.w1.size + self.w2.size)

    def tensors(self) -> dict[str, np.ndarray]:
        """Its arrays by name, as files keep them."""
        arrays = {name: value for name, value in vars(self).items() if name not in ("model", "layer")}
        return {k: np.ascontiguousarray(np.atleast_1d(v), dtype=np.float32) for k, v in arrays.items()}

    @classmethod
    def from_tensors(cls, model: str, layer: int, tensors: Mapping[str, np.ndarray]) -> PIK:
        """A probe of what `tensors` gave.

        Raises:
            ValueError: it is something else.
        """
        expected = {"mean", "scale", "w1", "b1", "w2", "b2", "slope", "offset"}
        if set(tensors) != expected:
            raise ValueError(f"it is not a probe: it holds {sorted(tensors)}, not {sorted(expected)}")
        single = {name: tensors[name][0] for name in ("b2", "slope", "offset")}
        return cls(model, layer, **{**tensors, **single})

    def save(self, path: str | Path) -> None:
        """Write to a safetensors file, which cannot carry code."""
        from safetensors.numpy import save_file

        save_file(self.tensors(), str(path), metadata={"model": self.model, "layer": str(self.layer)})

    @classmethod
    def load(cls, path: str | Path) -> PIK:
        """Read a file that `save` wrote.

        Raises:
            ValueError: it is no such file.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as f:
                tensors = {name: f.get_tensor(name) for name in f.keys()}
                meta = f.metadata() or {}
        except SafetensorError as error:
            raise ValueError(f"{path} is not a probe in safetensors ({error}); fit it again") from error
        try:
            return cls.from_tensors(meta["model"], int(meta["layer"]), tensors)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} is not a probe of P(IK) ({error}); fit it again") from error


def _tensors(trace: Trace, mean: np.ndarray, scale: np.ndarray) -> tuple:
    """((n, d), (n,)) standardised features and labels."""
    import torch

    x = torch.from_numpy(((trace.hidden - mean) / scale).astype(np.float32))
    return x, torch.from_numpy(trace.correct.astype(np.float32))
