"""A blueprint as an SVG picture."""

from __future__ import annotations

__all__ = ["to_svg"]

from html import escape
from itertools import pairwise

from runtime.blueprint import Blueprint
from runtime.check import Finding
from runtime.domain import TABLE
from runtime.graph.flow import findings_by_subject
from runtime.graph.layout import (
    BOX_HEAD,
    CARD_HEAD,
    CARD_WIDTH,
    LABEL_HEIGHT,
    LINE,
    Box,
    Card,
    Curve,
    lay_out,
)
from runtime.graph.measure import text_width, wrapped
from runtime.message import Sensitivity

_CLASS = {
    Sensitivity.PERSONAL_IMAGE: "image",
    Sensitivity.PERSONAL_IDENTIFIER: "identifier",
    Sensitivity.AGGREGATE: "aggregate",
    Sensitivity.OPERATIONAL: "operational",
}
# Colours stand in classes, light first, so that a viewer without media queries shows them too.
_STYLE = """
text{font-family:system-ui,"Segoe UI","Noto Sans","Noto Sans CJK JP",sans-serif;fill:#1c2733}
.page{fill:#f6f7f5}.box{fill:#fff;stroke:#cfd6d9}.card{fill:#f3f5f6;stroke:#c3ccd1}
.card.wrong{stroke:#d11a2a;stroke-width:2}
.title{font-size:22px;font-weight:700}.domain{font-size:17px;font-weight:700}
.name{font-size:15px;font-weight:650}.sub{font-size:12.5px}.small{font-size:11px}
.row{font-size:12px}.msg{font-size:13px;font-weight:600}
.dim,.none,.right{fill:#5a6873}.none{font-style:italic}.bad{fill:#c01525;font-weight:600}
.good{fill:#14713d;font-weight:600}
.curve{fill:none;stroke-width:2.4;stroke-linecap:round}
.pill{fill:#fff;stroke-width:1.2}.gate{fill:#fff;stroke-width:1.8}
.image{stroke:#b45309}.identifier{stroke:#7c3aed}.aggregate{stroke:#0f766e}
.operational{stroke:#64748b}.refused{stroke:#d11a2a;stroke-dasharray:7 6}
.f-image{fill:#b45309}.f-identifier{fill:#7c3aed}.f-aggregate{fill:#0f766e}
.f-operational{fill:#64748b}.f-refused{fill:#d11a2a}
@media (prefers-color-scheme:dark){
text{fill:#e4e9ec}.page{fill:#12181d}.box{fill:#192127;stroke:#33414b}
.card{fill:#212b33;stroke:#3d4d58}.pill,.gate{fill:#192127}
.dim,.none,.right{fill:#9fb0bb}.bad{fill:#ff7b86}.good{fill:#5fd08f}
.card.wrong,.refused{stroke:#ff5c69}.f-refused{fill:#ff5c69}
.image{stroke:#f0a35e}.f-image{fill:#f0a35e}.identifier{stroke:#b79cff}.f-identifier{fill:#b79cff}
.aggregate{stroke:#4fc9bb}.f-aggregate{fill:#4fc9bb}
.operational{stroke:#94a3b8}.f-operational{fill:#94a3b8}}
"""


def to_svg(blueprint: Blueprint) -> str:
    """The blueprint as a picture that stands alone: no script, no font or file from elsewhere."""
    layout = lay_out(blueprint)
    parts = [_header(blueprint, layout.findings)]
    parts += [_box(box) for box in layout.boxes]
    parts += [_curve(curve) for curve in layout.curves]
    # Labels last: no curve may cross a text.
    parts += [_label(curve) for curve in layout.curves]
    width = max(layout.width, 900.0)
    legend, height = _legend(layout.height + 44, blueprint, layout.findings, width)
    parts.append(legend)
    title = escape(f"{blueprint.pole.name}: what runs, who sends what to whom, and who may do what")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect class="page" width="{width:g}" height="{height:g}" rx="14"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, style: str, content: str, anchor: str = "start") -> str:
    anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}"{anchored}>{escape(content)}</text>'


def _header(blueprint: Blueprint, findings: list[Finding]) -> str:
    pole = blueprint.pole
    verdict = _text(28, 86, "sub good", "✓ Every route is one that the table of domains allows.")
    if findings:
        count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        verdict = _text(28, 86, "sub bad", f"✗ {count}: this blueprint may not run.")
    return "\n".join(
        (
            _text(28, 42, "title", pole.name),
            _text(
                28,
                65,
                "sub dim",
                f"{pole.operator.ja} · {pole.operator.en} · guideline {pole.guideline} · "
                f"blueprint {blueprint.digest[:12]}",
            ),
            verdict,
        )
    )


def _box(box: Box) -> str:
    rule = TABLE[box.domain]
    levels = [level for level in reversed(Sensitivity) if level in {*rule.takes, *rule.emits}]
    strip = _CLASS[levels[0]] if levels else "operational"
    parts = [
        f'<rect class="box" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="12"/>',
        f'<rect class="f-{strip}" x="{box.x + 14:.1f}" y="{box.y + 15:.1f}" width="5" '
        'height="18" rx="2.5"/>',
        _text(box.x + 28, box.y + 30, "domain", box.domain.value),
    ]
    for n, line in enumerate(box.head):
        style = "small dim" if line.startswith("§") else "sub dim"
        parts.append(_text(box.x + 14, box.y + BOX_HEAD + 13 + n * LINE, style, line))
    parts += [_card(card) for card in box.cards]
    return "\n".join(parts)


def _card(card: Card) -> str:
    wrong = " wrong" if any(style == "bad" for style, _ in card.rows) else ""
    parts = [
        f'<rect class="card{wrong}" x="{card.x:.1f}" y="{card.y:.1f}" width="{CARD_WIDTH:g}" '
        f'height="{card.height:.1f}" rx="9"/>',
        _text(card.x + 18, card.y + 22, "name", card.plan.name),
    ]
    if card.plan.type_name != card.plan.name:
        right = card.x + CARD_WIDTH - 18
        parts.append(_text(right, card.y + 22, "small dim", card.plan.type_name, "end"))
    for n, (style, text) in enumerate(card.rows):
        y = card.y + CARD_HEAD + 12 + n * LINE
        indent = 32 if style in ("grant", "right") else 18
        if style == "grant":
            # A key: what it holds opens one thing.
            parts.append(
                f'<g class="f-operational"><circle cx="{card.x + 21.5:.1f}" cy="{y - 4:.1f}" '
                f'r="3.2"/><rect x="{card.x + 23:.1f}" y="{y - 4.9:.1f}" width="6.5" '
                'height="1.8"/></g>'
            )
        parts.append(_text(card.x + indent, y, f"row {style}", text))
    return "\n".join(parts)


def _curve(curve: Curve) -> str:
    tone = "refused" if curve.refused else _CLASS[curve.channel.message.sensitivity]
    x, y = curve.points[-1]
    back = -curve.arrives
    parts = [
        f'<path class="curve {tone}" d="{_path(curve)}"/>',
        f'<path class="f-{tone}" d="M{x:.1f} {y:.1f}l{back * 10} -5.5v11z"/>',
        f'<circle class="f-{tone}" cx="{curve.points[0][0]:.1f}" '
        f'cy="{curve.points[0][1]:.1f}" r="4"/>',
    ]
    parts += [
        f'<path class="gate {tone}" style="stroke-dasharray:none" '
        f'd="M{gx:.1f} {gy - 6:.1f}l6 6l-6 6l-6 -6z"/>'
        for gx, gy in curve.gates
    ]
    return "\n".join(parts)


def _path(curve: Curve) -> str:
    (x, y), label, (to_x, to_y) = curve.points[0], curve.points[1], curve.points[-1]
    if curve.loop:
        turn, level = label
        return (
            f"M{x:.1f} {y:.1f}C{turn:.1f} {y:.1f} {turn:.1f} {y:.1f} {turn:.1f} {level:.1f}"
            f"C{turn:.1f} {to_y:.1f} {turn:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
        )
    path = f"M{x:.1f} {y:.1f}"
    for (x, y), (to_x, to_y) in pairwise(curve.points):
        middle = (x + to_x) / 2
        path += f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
    return path


def _label(curve: Curve) -> str:
    tone = "refused" if curve.refused else _CLASS[curve.channel.message.sensitivity]
    name, rest = curve.words
    mark = "✗ " if curve.refused else ""
    width = max(text_width(mark + name, 13), text_width(rest, 11)) + 20
    x, y = curve.points[curve.label]
    style = "msg bad" if curve.refused else "msg"
    return "\n".join(
        (
            f'<rect class="pill {tone}" x="{x - width / 2:.1f}" y="{y - LABEL_HEIGHT / 2:.1f}" '
            f'width="{width:.1f}" height="{LABEL_HEIGHT:g}" rx="9"/>',
            _text(x, y - 3, style, mark + name, "middle"),
            _text(x, y + 12, "small dim", rest, "middle"),
        )
    )


def _legend(
    y: float, blueprint: Blueprint, findings: list[Finding], width: float
) -> tuple[str, float]:
    parts = []
    x = 28.0
    shown: list[tuple[str, str]] = [(_CLASS[level], level.value) for level in reversed(Sensitivity)]
    if findings_by_subject(blueprint, findings)[0]:
        shown.append(("refused", "✗ refused"))
    for tone, words in shown:
        parts.append(f'<path class="curve {tone}" d="M{x:.1f} {y - 4:.1f}h26"/>')
        parts.append(_text(x + 34, y, "row dim", words))
        x += 34 + text_width(words, 12) + 26
    parts.append(f'<path class="gate operational" d="M{x + 6:.1f} {y - 10:.1f}l6 6l-6 6l-6 -6z"/>')
    parts.append(_text(x + 20, y, "row dim", "border: bytes, checked against the declared type"))
    for finding in findings:
        clause = f" (guideline {finding.clause})" if finding.clause else ""
        y += 8
        for line in wrapped(f"✗ {finding.who}: {finding.what}{clause}", 12, width - 60):
            y += LINE
            parts.append(_text(28, y, "row bad", line))
    return "\n".join(parts), y + 26
