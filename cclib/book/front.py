"""The front page's drawing, figure and sentences, computed from the editions' traces."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cclib import cost
from cclib.book import explorer, pdf
from cclib.book.editions import FOLDER, Book, digest, refresh
from cclib.cascades import cascade
from cclib.display import front, stages
from cclib.experiments.commercial_api import before_gpt4
from cclib.experiments.results import walk
from cclib.names import verbatim
from cclib.policies.walks import Walk
from cclib.study import Study

PAGE, IDEA, RESULT = Path("book") / "index.md", FOLDER / "idea.md", FOLDER / "result.md"
PICTURES = Path("book") / "pictures"  # committed, for README.md
ABOUT = "Accuracy over compute: a curve for each cascade, a dashed line for random mixing, stars for models"
PT, PIK = explorer.PAPER["pt"], explorer.PAPER["pik"]


def write(book: Book, echo: Callable[[str], None] = print) -> None:
    """Write what the front page includes, where an edition's traces or the code changed since.

    A book without the page needs none of it; an edition that was never recorded is left out.
    """
    recorded = [e for e in book.editions.values() if (book.root / explorer.FOLDER / f"{e.name}.js").exists()]
    if not recorded or not (book.root / PAGE).exists():
        return
    made_of = " ".join(explorer.fingerprint(book, edition)[:16] for edition in recorded)
    heading = f"<!-- {made_of} -->\n"
    if (book.root / RESULT).exists() and (book.root / RESULT).read_text().startswith(heading):
        return
    echo("the front page: drawing")
    studies = [explorer.read_study(book, edition) for edition in recorded]
    shown = [(e, study) for e, study in zip(recorded, studies) if is_cascade(study)]
    idea, images = "", []
    if shown:
        idea = f"```{{raw}} html\n{front.drawing(example(shown[0][1]))}\n```\n"
    for edition, study in shown:
        path = book.root / FOLDER / f"{edition.name}-trade-off.png"
        front.trade_off({short(edition.title): study}, PT, PIK).savefig(path, dpi=130)
        words = re.sub(r"[^\w .,-]", " ", edition.title)
        alt = f"{ABOUT}; {words}"
        images.append(f"```{{image}} editions/{path.name}\n:alt: {alt}\n```\n")
    said = front.sentences({verbatim(short(edition.title)): study for edition, study in shown}, PT, PIK)
    for edition, study in shown:
        if (table := before_gpt4(study, PT, PIK)) is not None:
            said += f"\n- **GPT-4 last**, on {verbatim(short(edition.title))}: {stages.in_words(table)}"
            if (chapter := book.page(edition.name, "03-3-commercial-api")).exists():
                said += f" [More in 3.3](editions/{edition.name}/{chapter.name})."
    figure = "::::{div} trade-offs\n" + "\n".join(images) + "::::\n"
    refresh(book.root / IDEA, idea)
    refresh(book.root / RESULT, f"{heading}{said}\n\n{figure}")


def short(title: str) -> str:
    """An edition's title up to its first colon or comma: "Atlas"."""
    return re.split(r"[:,]", title)[0]


def is_cascade(study: Study) -> bool:
    """Whether a study has stages that can keep a question, and a compute to compare."""
    can_keep = all(trace.p_t is not None for trace in study.test[:-1])
    return can_keep and len(study.test) > 1 and not np.isnan(cost.stage_sizes(study.test)).any()


def example(study: Study) -> Walk:
    """The walk of a question that goes as far as any and is answered right."""
    result = cascade(study.test, PT, study.threshold(PIK))
    return walk(study, int(np.argmax(2 * result.stage + result.correct)), PT, PIK)


def pictures(book: Book) -> list[Path]:
    """What README.md shows, small: the figure of all editions, and the explorer as the built book has it.

    Raises:
        FileNotFoundError: no built explorer, or no Chromium or Chrome.
    """
    page, folder = (book.root / "_build" / "html" / "book" / "explorer.html").resolve(), book.root / PICTURES
    if not page.exists():
        raise FileNotFoundError(f"there is no explorer at {page}: make book")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "cost-accuracy.png", folder / "explorer.png"]
    studies = [(short(e.title), explorer.read_study(book, e)) for e in book.editions.values()]
    studies = {title: study for title, study in studies if is_cascade(study)}
    front.trade_off(studies, PT, PIK).savefig(paths[0], dpi=90)
    with pdf.open_browser() as browser:
        tab = pdf.open_page(browser, page, viewport={"width": 1280, "height": 1000})
        tab.wait_for_selector(".js-plotly-plot .main-svg")
        tab.screenshot(path=paths[1])
    about = PngInfo()
    about.add_text("traces", traces_of(book))
    for path in paths:  # 64 colours are enough, and a fraction of the size
        Image.open(path).convert("RGB").quantize(64).save(path, optimize=True, pnginfo=about)
    return paths


def traces_of(book: Book) -> str:
    """A digest of all recorded traces: a picture carries it, to show whether it is of them."""
    folders = [book.root / edition.traces for edition in book.editions.values() if edition.traces]
    return digest(part for folder in folders for part in folder.glob("*/*.parquet"))
