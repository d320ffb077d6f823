"""The pictures of the README: lazy prompts as the default weights rewrite them, in a light and a dark terminal.

pip install '.[cpu]'
python examples/readme_pictures.py docs/images
"""

import argparse
import io
import re
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from rich.text import Text

from fipo_model import OptimizedPrompt, PromptOptimizer
from fipo_model.pages.changes import differences, outcome_in_words

PROMPTS = (
    "words in quotation marks",
    "is the customer angry",
    "positive/negative",
    "you are a helpdesk bot for a municipal swimming pool",
    "Summarize the complaint in at most 50 words. Never mention prices.",
)
WIDTH = 84
THEMES = {"light": DEFAULT_TERMINAL_THEME, "dark": SVG_EXPORT_THEME}


def picture(results: list[OptimizedPrompt]) -> Console:
    """A terminal with every prompt and what became of it."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for result in results:
        console.print(Text.assemble(("$ ", "dim"), f'fipo optimize "{result.request.instruction}"', style="bold"))
        console.print(changed(result))
        console.print()
    return console


def changed(result: OptimizedPrompt) -> Table:
    """The prompt to use, with the new words in green."""
    grid = Table.grid(padding=(0, 1))
    text = Text()
    for kind, part in differences(result.request.instruction, result.text):
        text.append(part, style={"+": "green", "-": "red strike"}.get(kind, ""))
    grid.add_row(" ", text)
    if not result.is_rewritten:
        grid.add_row(" ", Text(f"({outcome_in_words(result.outcome)})", style="yellow"))
    return grid


def plain(svg: str) -> str:
    """The picture in a font that every reader has: Rich names one that a browser would fetch."""
    return re.sub(r"@font-face \{.*?\}|<!--.*?-->", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    told = parser.parse_args()
    optimizer = PromptOptimizer.from_pretrained()
    console = picture([optimizer.optimize(prompt) for prompt in PROMPTS])
    told.directory.mkdir(parents=True, exist_ok=True)
    for name, theme in THEMES.items():
        target = told.directory / f"demo-{name}.svg"
        svg = plain(console.export_svg(title="FIPO", theme=theme, clear=False, unique_id=f"fipo-{name}"))
        target.write_text(svg, encoding="utf-8")
        print(f"{target}: {len(svg)} characters")
    print(console.export_text())


if __name__ == "__main__":
    main()
