"""A blueprint as a picture for the terminal."""

from __future__ import annotations

__all__ = ["to_text"]

from dataclasses import dataclass, field

from runtime.blueprint import ActorPlan, Blueprint, ChannelPlan
from runtime.check import Finding, check
from runtime.domain import TABLE, Domain
from runtime.graph.flow import channel_words, domain_columns, findings_by_subject
from runtime.graph.measure import cells
from runtime.message import Sensitivity

_MARKS = {
    Sensitivity.PERSONAL_IMAGE: "▣",
    Sensitivity.PERSONAL_IDENTIFIER: "◈",
    Sensitivity.AGGREGATE: "▤",
    Sensitivity.OPERATIONAL: "·",
}
_NARROWEST = 60


@dataclass(slots=True)
class _Page:
    """Lines of one width, with room at the right for the channels that join them."""

    width: int
    lines: list[str] = field(default_factory=list)
    leaves: dict[ChannelPlan, int] = field(default_factory=dict)
    """The line on which each channel leaves its sender."""
    arrives: dict[ChannelPlan, int] = field(default_factory=dict)

    def rule(self, left: str, right: str, title: str = "", note: str = "") -> None:
        title = _cut(f" {title} ", self.width - 4) if title else ""
        note = f" {note} " if note and cells(title) + cells(note) + 8 < self.width else ""
        fill = "─" * (self.width - 4 - cells(title) - cells(note))
        self.lines.append(f"{left}─{title}{fill}{note}─{right}")

    def row(self, text: str, indent: int = 0) -> int:
        """Add a row, in as many lines as it needs; returns the first one's number."""
        first = len(self.lines)
        room = self.width - 4 - indent
        rest, hang = text, indent
        while True:
            line, rest = _split(rest, room - hang + indent)
            filled = f"{' ' * hang}{line}"
            self.lines.append(f"│ {filled}{' ' * (self.width - 4 - cells(filled))} │")
            if not rest:
                return first
            hang = indent + 2


def to_text(blueprint: Blueprint, width: int = 100) -> str:
    """Domains as boxes in the order of flow, and channels as lines beside them."""
    findings = check(blueprint)
    refused, wrong = findings_by_subject(blueprint, findings)
    # How many lines run beside the boxes depends on the order of rows, not on their width.
    room = 2 * len(_lanes(_compose(blueprint, width, refused, wrong))) + 2
    page = _compose(blueprint, max(_NARROWEST, width - room), refused, wrong)
    pole = blueprint.pole
    head = [
        f"{pole.name} · {pole.operator.en} · guideline {pole.guideline} · "
        f"blueprint {blueprint.digest[:12]}",
        "",
    ]
    legend = "  ".join(f"{_MARKS[level]} {level.value}" for level in reversed(Sensitivity))
    foot = ["", f"{legend}  ✗ refused"]
    if findings:
        foot += ["", *(f"✗ {one.who}: {one.what}{_clause(one)}" for one in findings)]
    else:
        foot += ["✓ Every route is one that the table of domains allows."]
    return "\n".join([*head, *_with_rails(page, refused), *foot]) + "\n"


def _compose(
    blueprint: Blueprint,
    width: int,
    refused: dict[str, list[Finding]],
    wrong: dict[str, list[Finding]],
) -> _Page:
    columns = domain_columns(blueprint, refused)
    page = _Page(width)
    for domain in sorted(columns, key=lambda domain: columns[domain]):
        _domain(page, blueprint, domain, refused, wrong)
    return page


def _domain(
    page: _Page,
    blueprint: Blueprint,
    domain: Domain,
    refused: dict[str, list[Finding]],
    wrong: dict[str, list[Finding]],
) -> None:
    rule = TABLE[domain]
    page.rule("╭", "╮", f"{domain.value}: {rule.purpose}", f"§ {rule.clauses}")
    for plan in blueprint.actors.values():
        if plan.domain is domain:
            _actor(page, blueprint, plan, refused)
            for finding in wrong.get(plan.name, ()):
                page.row(f"✗ {finding.what}", 4)
    page.rule("╰", "╯")


def _actor(
    page: _Page, blueprint: Blueprint, plan: ActorPlan, refused: dict[str, list[Finding]]
) -> None:
    kind = "" if plan.type_name == plan.name else f"({plan.type_name})"
    about = (plan.name, kind, plan.place, plan.settings.headline())
    page.row("● " + "  ".join(part for part in about if part))
    held = [one for one in plan.needs.values() if one.__name__ in plan.grants]
    for capability in held:
        page.row(f"holds {capability.__name__} [{capability.kind}]: {capability.rights}", 4)
    if not held:
        page.row("holds nothing", 4)
    for channel in blueprint.channels:
        mark = "✗" if str(channel) in refused else _MARKS[channel.message.sensitivity]
        message, rest = channel_words(blueprint, channel)
        if channel.receiver == plan.name:
            text = f"{mark} {channel.inlet} ← {channel.sender}: {message} ({rest})"
            page.arrives[channel] = page.row(text, 4)
        if channel.sender == plan.name:
            text = f"{mark} {channel.outlet} → {channel.receiver}: {message}"
            page.leaves[channel] = page.row(text, 4)


def _lanes(page: _Page) -> list[list[ChannelPlan]]:
    """Channels side by side, those that span the fewest rows innermost."""
    lanes: list[list[ChannelPlan]] = []
    for channel in sorted(page.leaves, key=lambda one: (_length(page, one), page.leaves[one])):
        top, bottom = _span(page, channel)
        for lane in lanes:
            if all(_span(page, one)[0] > bottom or _span(page, one)[1] < top for one in lane):
                lane.append(channel)
                break
        else:
            lanes.append([channel])
    return lanes


def _span(page: _Page, channel: ChannelPlan) -> tuple[int, int]:
    ends = page.leaves[channel], page.arrives[channel]
    return min(ends), max(ends)


def _length(page: _Page, channel: ChannelPlan) -> int:
    return abs(page.leaves[channel] - page.arrives[channel])


def _with_rails(page: _Page, refused: dict[str, list[Finding]]) -> list[str]:
    """Draw a line for each channel, from the row where it leaves to the row where it arrives."""
    lanes = _lanes(page)
    canvas = [[" "] * (2 * len(lanes) + 2) for _ in page.lines]
    # The outer ones first: what lies inside is drawn over their level parts.
    for number, lane in reversed(list(enumerate(lanes))):
        x = 2 * number + 2
        for channel in lane:
            top, bottom = _span(page, channel)
            level, upright = ("╌", "╎") if str(channel) in refused else ("─", "│")
            for y in (top, bottom):
                for column in range(x):
                    canvas[y][column] = "┼" if canvas[y][column] in "│╎" else level
            canvas[top][x], canvas[bottom][x] = "╮", "╯"
            canvas[page.arrives[channel]][0] = "◀"
            for y in range(top + 1, bottom):
                canvas[y][x] = "┼" if canvas[y][x] in "─╌" else upright
    return [(line + "".join(rail)).rstrip() for line, rail in zip(page.lines, canvas, strict=True)]


def _clause(finding: Finding) -> str:
    return f" (guideline {finding.clause})" if finding.clause else ""


def _cut(text: str, width: int) -> str:
    if cells(text) <= width:
        return text
    while cells(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _split(text: str, width: int) -> tuple[str, str]:
    """As many words as fit, and the rest."""
    if cells(text) <= width:
        return text, ""
    fits = len(text)
    while cells(text[:fits]) > width:
        fits -= 1
    space = text.rfind(" ", 1, fits + 1)
    # A break early in the line would leave it nearly empty: then the word is cut.
    cut = space if space > fits // 3 else fits
    return text[:cut].rstrip(), text[cut:].lstrip()
