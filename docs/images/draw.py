"""Draws the pictures of the README: the flow, and a chart of docs/PERFORMANCE.md. Run: python3 docs/images/draw.py"""

from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parent
THEMES = {
    "light": {"text": "#1f2328", "line": "#59636e", "box": "#f6f8fa", "own": "#ddf4ff", "bar": "#0969da", "other": "#afb8c1"},
    "dark": {"text": "#e6edf3", "line": "#9198a1", "box": "#151b23", "own": "#0c2d6b", "bar": "#4493f8", "other": "#656c76"},
}
FONT = "font-family='-apple-system, Segoe UI, Helvetica, Arial, sans-serif'"

# Table of docs/PERFORMANCE.md and the candidates of the chart.
TABLE = "### Batch of 100, upstreams 20 ms, table 3 ms, 100 in flight"
CANDIDATES = ["genesys-replay", "Powertools TypeScript", "Powertools Python"]


def text(x, y, content, theme, size=14, anchor="middle", weight="normal"):
    style = f"fill='{theme['text']}' font-size='{size}' font-weight='{weight}' text-anchor='{anchor}'"
    return f"<text x='{x}' y='{y}' {style} {FONT}>{escape(content)}</text>"


def box(x, y, width, lines, theme, fill="box"):
    height = 24 + 18 * len(lines)
    rect = f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='8' fill='{theme[fill]}' stroke='{theme['line']}'/>"
    rows = [
        text(x + width / 2, y + 27 + 18 * row, line, theme, 14 if row == 0 else 12, weight="bold" if row == 0 else "normal")
        for row, line in enumerate(lines)
    ]
    return "".join([rect, *rows])


def arrow(x1, y1, x2, y2, theme):
    return f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='{theme['line']}' stroke-width='1.5' marker-end='url(#head)'/>"


def picture(width, height, body, theme):
    head = f"<path d='M0 0 L8 4 L0 8 z' fill='{theme['line']}'/>"
    marker = f"<marker id='head' markerWidth='8' markerHeight='8' refX='8' refY='4' orient='auto'>{head}</marker>"
    size = f"width='{width}' height='{height}' viewBox='0 0 {width} {height}'"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img'><defs>{marker}</defs>{body}</svg>\n"


def flow(theme):
    parts = [
        box(10, 120, 150, ["EventBridge", "could not deliver"], theme),
        box(210, 120, 150, ["Dead-letter queue", "SQS"], theme),
        box(420, 110, 170, ["genesys-replay", "Lambda function", "claims, delivers, marks"], theme, "own"),
        box(430, 10, 150, ["Ledger", "DynamoDB"], theme),
        box(430, 232, 150, ["Genesys Cloud", "retry status"], theme),
        box(660, 30, 150, ["Target", "delivered"], theme),
        box(660, 120, 150, ["Archive", "S3, with the reason"], theme),
        box(660, 210, 150, ["Back on the queue", "with a delay"], theme),
        arrow(160, 150, 208, 150, theme),
        arrow(360, 150, 418, 150, theme),
        arrow(505, 110, 505, 72, theme),
        arrow(505, 188, 505, 230, theme),
        arrow(590, 140, 658, 70, theme),
        arrow(590, 150, 658, 150, theme),
        arrow(590, 160, 658, 230, theme),
    ]
    return picture(820, 304, "".join(parts), theme)


def medians():
    """Returns the warm median of each candidate, in ms."""
    table = (FOLDER.parent / "PERFORMANCE.md").read_text(encoding="utf-8").split(TABLE)[1].split("###")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines() if line.startswith("|")]
    column = rows[0].index("warm p50 ms")
    return {row[1]: float(row[column]) for row in rows if row[1] in CANDIDATES}


def chart(theme):
    values = medians()
    most = max(values.values())
    parts = [text(10, 24, "Warm batch of 100 dead letters, every upstream takes 20 ms", theme, 14, "start", "bold")]
    for row, name in enumerate(CANDIDATES):
        y, value = 42 + 34 * row, values[name]
        width = max(2, 440 * value / most)
        color = theme["bar" if row == 0 else "other"]
        parts.append(text(200, y + 17, name, theme, 13, "end"))
        parts.append(f"<rect x='210' y='{y}' width='{width:.1f}' height='24' rx='3' fill='{color}'/>")
        parts.append(text(218 + width, y + 17, f"{value:,.0f} ms", theme, 13, "start"))
    return picture(760, 152, "".join(parts), theme)


def main():
    for name, theme in THEMES.items():
        (FOLDER / f"flow-{name}.svg").write_text(flow(theme), encoding="utf-8")
        (FOLDER / f"benchmark-{name}.svg").write_text(chart(theme), encoding="utf-8")


if __name__ == "__main__":
    main()
