"""How long the cascade explorer takes to answer a slider, in an installed browser on the built book.

Milliseconds from the slider's event: until the numbers are written, and until the frame after it is drawn.
"""

import shutil
from pathlib import Path

import numpy as np
import typer

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGE = Path("_build/html/book/explorer.html")
MOVE = """async () => {
    const slider = document.getElementById("explorer-pt-0"), times = [];
    const drawn = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    for (let i = 0; i < 60; i++) {
        slider.value = 0.3 + 0.6 * Math.random();
        const began = performance.now();
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        const written = performance.now() - began;
        await drawn();
        times.push([written, performance.now() - began]);
    }
    return times;
}"""


def main() -> None:
    """Move a slider sixty times in each edition's longest chain."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None or not PAGE.exists():
        typer.echo("not run: it needs an installed browser and the built book")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        page = playwright.chromium.launch(executable_path=browser, args=arguments).new_page()
        page.goto(PAGE.resolve().as_uri())
        for edition in page.evaluate("cascadeEditions.map(e => e.name)"):
            page.evaluate(f"location.hash = 'edition={edition}'")
            page.wait_for_function(f"cascadeExplorer.numbers?.link.includes('edition={edition}&')")
            page.wait_for_timeout(2000)  # figures of the new edition
            n, k = page.evaluate("[cascadeExplorer.numbers.n, cascadeExplorer.numbers.counts.length]")
            middle, high = np.percentile(page.evaluate(MOVE), [50, 95], axis=0)
            typer.echo(
                f"{edition}, {n} questions x {k} stages: numbers {middle[0]:.1f} ms (95th percentile "
                f"{high[0]:.1f}), next frame {middle[1]:.1f} ms ({high[1]:.1f})"
            )


if __name__ == "__main__":
    typer.run(main)
