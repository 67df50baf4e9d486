"""The command line: python -m cclib ..."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from cclib.names import FAMILIES

PRICES = "a CSV: model, input_usd_per_million, output_usd_per_million; default: the paper's prices"

# What a command needs is imported by it, so that no other waits for it.
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
editions = typer.Typer(no_args_is_help=True, help="The book's editions: execute, list, add, publish.")
app.add_typer(editions, name="editions")
traces = typer.Typer(no_args_is_help=True, help="Recorded traces: find and set aside what is damaged.")
app.add_typer(traces, name="traces")
teach = typer.Typer(no_args_is_help=True, help="The book in a classroom: students' notebooks, slides.")
app.add_typer(teach, name="teach")
policy = typer.Typer(no_args_is_help=True, help="Which model is asked, and when: choose with proof, apply.")
app.add_typer(policy, name="policy")


@app.callback()
def about() -> None:
    """Confidence-driven cascades of language models. Run it from the repository's root."""


@editions.command()
def build(
    names: Annotated[list[str] | None, typer.Argument(help="editions; all where none is named")] = None,
):
    """Execute the notebooks that are out of date, refresh the prose of the others, write _toc.yml
    and the explorer's data."""
    from cclib.book import explorer, front, plan, teaching
    from cclib.book.editions import FOLDER, Book, refresh

    book = Book()
    book.build(names or [], echo=typer.echo)
    refresh(Path("_toc.yml"), book.toc())
    refresh(FOLDER / "found.md", book.found())
    explorer.write(book, names or [], echo=typer.echo)
    front.write(book, echo=typer.echo)
    refresh(FOLDER / "times.md", teaching.times(book))
    for name, text in plan.pages().items():
        refresh(FOLDER / name, text)


@editions.command()
def status():
    """Say which executed notebooks are out of date; exit with 1 if any is."""
    from cclib.book.editions import Book

    book = Book()
    stale = 0
    for edition in book.editions.values():
        for stem in book.chapters[edition.name]:
            current = book.is_current(edition, stem)
            stale += not current
            typer.echo(f"{edition.name}/{stem}: {'up to date' if current else 'out of date'}")
    raise typer.Exit(min(stale, 1))


@editions.command()
def toc(check: Annotated[bool, typer.Option(help="only say whether it is in step")] = False):
    """Write _toc.yml from the editions and the notebooks; parts written by hand stay."""
    from cclib.book.editions import Book, refresh

    book = Book()
    if not check:
        refresh(Path("_toc.yml"), book.toc())
    elif Path("_toc.yml").read_text() != book.toc():
        typer.echo(
            "_toc.yml is out of step with editions/ and notebooks/: python -m cclib editions toc", err=True
        )
        raise typer.Exit(1)


@editions.command()
def add(
    name: str,
    models: Annotated[str, typer.Option(help="smallest first, with blanks or commas between; or a family")],
    benchmark: str | None = None,
    data_dir: str | None = None,
    limit: int | None = None,
    device: Annotated[str | None, typer.Option(help='"auto" spreads large models over all GPUs')] = None,
    title: str | None = None,
):
    """Write editions/NAME.yml."""
    from cclib.book.editions import add_edition

    listed = re.split(r"[,\s]+", models.strip())
    given = {
        "models": listed if len(listed) > 1 else listed[0],
        "benchmark": benchmark,
        "data_dir": data_dir,
        "limit": limit,
        "device": device,
    }
    typer.echo(add_edition(Path("."), name, {k: v for k, v in given.items() if v is not None}, title))


@editions.command()
def publish(
    name: str,
    store: Annotated[str, typer.Option(help="the recorded traces, hidden states included")] = "traces",
    elsewhere: Annotated[int | None, typer.Option(help="questions of other benchmarks; default: all")] = None,
    prompts: Annotated[
        list[str] | None, typer.Option(help="other prompts to ask with, on some questions")
    ] = None,
):
    """Write to book/editions/NAME/traces what the edition's chapters need to replay without its models."""
    from cclib.book.editions import FOLDER, Book
    from cclib.book.export import publish as export

    edition = Book().choose([name])[0]
    given = {k: v for k, v in edition.parameters.items() if k != "traces_dir"}
    models = given.pop("models", "atlas")
    folder = export(
        models,
        FOLDER / name / "traces",
        **given,
        traces_dir=store,
        elsewhere=elsewhere,
        prompts=prompts or (),
    )
    typer.echo(folder)
    if edition.traces is None:
        typer.echo(f"to replay it, add this line to editions/{name}.yml:\ntraces: {folder.as_posix()}")


@app.command("plan")
def plan_recording(
    models: Annotated[list[str], typer.Argument(help="a family, or hub ids")],
    questions: int = 1_000_000,
    tokens: Annotated[float, typer.Option(help="of a prompt, on average")] = 150,
    card: Annotated[
        str, typer.Option(help="by its memory; of another one it is said which are known")
    ] = "80 GB",
    gpus: int = 8,
    usd: Annotated[float | None, typer.Option(help="a GPU hour; default: an assumption")] = None,
    utilisation: Annotated[
        float | None, typer.Option(help="share of the data sheet's rate; default: as measured, or 0.4")
    ] = None,
):
    """What recording would take: memory, GPUs, hours, dollars, bytes."""
    from cclib.book import plan

    typer.echo(plan.told(models, questions, tokens, card, gpus, usd, utilisation))


@app.command("paper-size")
def paper_size(folder: Path, seed: int = 0):
    """Measure the chapter "At the paper's size": FOLDER holds MMLU-Pro, published answers and a reading."""
    from cclib.experiments import paper_size

    paper_size.write(folder, seed=seed)
    typer.echo(paper_size.FIGURES)


@app.command()
def pictures():
    """Draw what README.md shows, from the built book, into book/pictures."""
    from cclib.book import front
    from cclib.book.editions import Book

    for path in front.pictures(Book()):
        typer.echo(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


@app.command("pdf")
def print_pdf():
    """Print the built pages to _build/html/book.pdf, by an installed Chromium."""
    from cclib.book import pdf

    path = pdf.write(Path("."), echo=typer.echo)
    typer.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


@traces.command()
def check(
    store: Annotated[Path, typer.Argument(help="a folder of traces")] = Path("traces"),
    repair: Annotated[bool, typer.Option(help="set damaged parts aside, to be recorded anew")] = False,
):
    """Say which parts are damaged; exit with 1 if any is and --repair is not given."""
    from cclib.traces import damaged_parts

    found = damaged_parts(store, repair)
    for path, problem in found.items():
        typer.echo(f"{path}: set aside" if repair else problem)
    typer.echo(f"{len(found)} damaged parts in {store}")
    raise typer.Exit(bool(found) and not repair)


@policy.command()
def choose(
    models: Annotated[list[str], typer.Argument(help="smallest first, or a family")],
    benchmark: Annotated[str, typer.Option(help="its name, or a table of your own questions")] = "atlas",
    out: Annotated[Path, typer.Option(help="where the policy is written")] = Path("policy.json"),
    max_drop: Annotated[float, typer.Option(help="accuracy that may be lost; 0.01 is a point")] = 0.01,
    max_cost: Annotated[
        float | None, typer.Option(help="in its place: share of the last model's cost to be spent at most")
    ] = None,
    delta: Annotated[float, typer.Option(help="probability that it is lost, or spent, after all")] = 0.05,
    proving: Annotated[
        float | None,
        typer.Option(help="share of the questions that prove, 0.5 of few; default: a tenth of the table"),
    ] = None,
    accounting: Annotated[str, typer.Option(help="every-pass, or paper")] = "every-pass",
    unit: Annotated[str, typer.Option(help="FLOPs, USD or seconds")] = "FLOPs",
    prices: Annotated[Path | None, typer.Option(help=PRICES)] = None,
    sizes: Annotated[
        list[float] | None, typer.Option(help="parameters of each model, once a model; default: as recorded")
    ] = None,
    abstention: Annotated[float | None, typer.Option(help="price of no answer; a wrong one costs 1")] = None,
    data_dir: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    traces_dir: Path = Path("traces"),
    device: str | None = None,
    prompt: str = "auto",
):
    """Choose a policy that is proven to lose little, and write it.

    The family that the training questions promise most of is tested, and the cheapest of it that is proven is
    written; a family picked beforehand may prove more. A model behind an API is asked all the questions:
    CCLIB_BUDGET="2.50 USD" ends that in time.
    """
    from cclib import choose_policy, load_study
    from cclib.display.in_words import in_words
    from cclib.policies.choose import check
    from cclib.policies.evidence import ask_endpoints
    from cclib.prices import read_prices

    if out.suffix != ".json" or not out.parent.is_dir():  # told before hours are spent
        raise ValueError(f"--out must be a .json file in a folder that is there, found {str(out)!r}")
    check(max_drop, delta, max_cost, abstention, proving, accounting, unit)
    read_prices(prices)
    named = models[0] if models[0] in FAMILIES else models
    study = load_study(
        named, benchmark, data_dir, limit, seed=seed, traces_dir=traces_dir, device=device, prompt=prompt
    )
    priced = {"unit": unit, "prices": prices, "sizes": sizes, "accounting": accounting}
    promised = {"max_drop": max_drop, "max_cost": max_cost, "delta": delta, "abstention": abstention}
    found = choose_policy(ask_endpoints(study), **promised, **priced, proving=proving)
    found.policy.save(out)
    typer.echo("\n".join([in_words(found.policy), *(f"Note: {note}" for note in found.notes), f"{out}"]))


@policy.command()
def show(path: Annotated[Path, typer.Argument(help="what `choose` wrote")] = Path("policy.json")):
    """Say in plain words what a policy does and promises."""
    from cclib import Policy
    from cclib.display.in_words import in_words

    typer.echo(in_words(Policy.load(path)))


@policy.command()
def apply(
    path: Annotated[Path, typer.Argument(help="what `choose` wrote")],
    questions: Annotated[Path, typer.Argument(help="a table with question, A, B ...; answer if known")],
    answers: Annotated[Path, typer.Argument(help="the CSV to write: a row a question")],
    models: Annotated[list[str] | None, typer.Option(help="where the policy's names do not lead")] = None,
    instead: Annotated[
        list[str] | None,
        typer.Option("--as", help="gpt4.csv=openai:gpt-4o: whom to ask in the place of recorded answers"),
    ] = None,
    prices: Annotated[Path | None, typer.Option(help=PRICES)] = None,
    store: Annotated[Path | None, typer.Option(help="keeps an API's answers; needs right ones")] = None,
    device: str | None = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="of the benchmark that a prompt's examples are of")
    ] = None,
):
    """Answer a table's questions, and say of each who answered and what that cost."""
    from cclib import Policy, live_cascade, load_benchmark, split
    from cclib.benchmarks import read_table
    from cclib.prices import read_prices
    from cclib.prompts import FEW_SHOT
    from cclib.study import prompt_for

    chosen, asked = Policy.load(path), read_table(questions, answered=False)
    read_prices(prices)  # what is wrong with them is told before anything is asked
    if not answers.parent.is_dir() or answers.resolve() in (questions.resolve(), path.resolve()):
        raise ValueError(f"the answers must go to a file of their own, in a folder that is there: {answers}")
    named = models[0] if models and models[0] in FAMILIES else models
    if instead and models:
        raise ValueError("--as says whom to ask in place of one stage, --models names all; give one of them")
    if instead:
        if bad := [one for one in instead if not all(one.partition("=")[::2])]:
            raise ValueError(f"--as is STAGE=MODEL, as gpt4.csv=openai:gpt-4o; found {bad[0]!r}")
        named = dict(one.split("=", 1) for one in instead)
    shown, prompt = chosen.stages[0].prompt or "", None
    if shown.startswith(FEW_SHOT):  # the file names its examples' benchmark, and holds their hash
        benchmark = chosen.about["benchmark"]
        train = split(load_benchmark(benchmark, data_dir), chosen.about["seed"]).train
        prompt = prompt_for(shown, benchmark, data_dir, train)
    run = live_cascade(named, asked, store=store, prompt=prompt, policy=chosen, device=device)
    for stage, model in zip(chosen.stages, run.models):
        if stage.recorded:
            typer.echo(f"{model} was asked in place of {stage.model}: nobody can compare it with a record")
    run.answers(asked, prices).to_csv(answers, index=False)
    typer.echo(f"{run.table(asked, prices).T.to_string(float_format='{:.4g}'.format)}\n{answers}")


@teach.command()
def student(folder: Path = Path("_build/student")):
    """Write every notebook without its solutions."""
    from cclib.book import teaching
    from cclib.book.editions import Book

    typer.echo(f"{len(teaching.write_students(Book(), folder))} notebooks in {folder}")


@teach.command()
def slides(folder: Path = Path("_build/html/slides")):
    """Write a deck of slides for each session, from the executed notebooks of Atlas."""
    from cclib.book import teaching
    from cclib.book.editions import Book

    book = Book()
    if "atlas" not in book.editions:
        typer.echo("no slides: they are made from the edition atlas, and editions/ has none of that name")
        return
    for path in teaching.write_slides(book, folder):
        typer.echo(path)


def in_flags(message: str, words: list[str]) -> str:
    """A message of the package with a command's options in place of the arguments that it hands on.

    Args:
        words: of the command line.
    """
    command = typer.main.get_command(app)
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    flags = {p.name: p.opts[0] for p in command.params if p.param_type_name == "option"}
    for name, flag in flags.items():
        given = rf'\b{name}=(?!\{{)(?:"([^"]*)"|([\w.]+))?'
        message = re.sub(given, lambda m, flag=flag: " ".join(filter(None, [flag, m[1], m[2]])), message)
        if "_" in name:
            message = re.sub(rf"\b{name}\b", flag, message)
    return message


def main() -> None:
    try:
        app()
    except (ValueError, RuntimeError, OSError) as error:  # told in a sentence, not in a traceback
        sys.exit(in_flags(str(error), sys.argv[1:]))


if __name__ == "__main__":
    main()
