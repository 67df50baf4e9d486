"""What a chapter cannot do without, and the sentence that stands on the page where a study lacks it."""

from __future__ import annotations

from IPython import get_ipython
from IPython.display import Markdown, display

from cclib.names import verbatim
from cclib.replay import NotAtHand
from cclib.study import Study

# Cells that run all the same: a reader who names other models runs these again.
STARTS = ("models = ", "# Parameters", "needs.")


def confidence(study: Study) -> None:
    """Go on only where every stage but the last has P(T), without which no question can be kept."""
    bare = [verbatim(m) for m, t in zip(study.models, study.test[:-1]) if t.p_t is None]
    that(
        not bare,
        f"{' and '.join(bare)} {'is' if len(bare) == 1 else 'are'} known by answers alone: no P(T) says how "
        "sure an answer is, so nothing can be kept or passed on by it, and these models make no cascade. "
        "What can be told of them is in Appendix A.1 and A.2; with logs that hold the options' "
        "log-likelihoods this chapter can be run.",
    )


def a_model(study: Study) -> None:
    """Go on only where some model can be asked other questions, or a study was exported that holds them."""
    asked = not study.live or any(study.runs(i) for i in range(len(study.models)))
    that(asked, "It asks the models more than is on record, and none of these runs here: what they answered "
         "to this benchmark is all that is known of them. A model that runs here can be asked.")  # fmt: skip


def that(holds: bool, reason: str) -> None:
    """Run no cell after this one where something does not hold, and say why in place of what they show.

    Raises:
        NotAtHand: the same, outside a notebook.
    """
    shell = get_ipython()
    if shell is None:
        if not holds:
            raise NotAtHand(reason)
        return
    cells = shell.input_transformers_cleanup
    cells[:] = [one for one in cells if one is not _left_out]
    if not holds:
        display(
            Markdown(
                f"**This chapter cannot be shown for these models.** {reason} The code below was not run."
            )
        )
        cells.append(_left_out)


def _left_out(lines: list[str]) -> list[str]:
    """A cell's lines, or none."""
    return lines if any(line.startswith(STARTS) for line in lines) else []
