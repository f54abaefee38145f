"""What a domain says of its actors, reduced to what may be believed.

Texts are taken from the blueprint, which the pole knows itself; of the domain's word only numbers
and known states are left, each within its bounds.
"""

from __future__ import annotations

__all__ = ["believe", "nothing_yet"]

from runtime.actor import READING_MAX
from runtime.blueprint import ActorPlan
from runtime.channel import ChannelStatistics, Queue
from runtime.histogram import HistogramStatistics
from runtime.status import ActorStatus
from runtime.supervisor import ChildState, CrashRecord

_NO_DURATION = HistogramStatistics(0, 0, 0, 0)
_STATES = frozenset(state.value for state in ChildState)


def nothing_yet(plan: ActorPlan) -> ActorStatus:
    """An actor of which nothing has been heard."""
    return ActorStatus(
        name=plan.name,
        type_name=plan.type_name,
        domain=plan.domain.value,
        headline=plan.settings.headline(),
        state=ChildState.NOT_STARTED.value,
        incarnation=0,
        restarts=0,
        crashes=0,
        last_crash=None,
        inlets=tuple(
            Queue(
                f"{plan.name}.{name}",
                declared.message,
                capacity=declared.capacity,
                overflow=declared.overflow,
            ).statistics()
            for name, declared in plan.queues.items()
        ),
        readings=dict.fromkeys(plan.actor_type.declaration.readings, 0),
        idle=tuple(name for name, vital in plan.actor_type.declaration.readings.items() if vital),
        histograms=dict.fromkeys(plan.actor_type.declaration.histograms, _NO_DURATION),
    )


def believe(blank: ActorStatus, said: ActorStatus, last_crash: CrashRecord | None) -> ActorStatus:
    """What a domain says of one of its actors, where it fits ``blank``, which the pole made."""
    readings = {name: _bounded(said.readings.get(name, 0)) for name in blank.readings}
    return ActorStatus(
        name=blank.name,
        type_name=blank.type_name,
        domain=blank.domain,
        headline=blank.headline,
        state=said.state if said.state in _STATES else blank.state,
        incarnation=_bounded(said.incarnation),
        restarts=_bounded(said.restarts),
        crashes=_bounded(said.crashes),
        last_crash=last_crash,
        inlets=tuple(
            _queue(known, told) for known, told in zip(blank.inlets, said.inlets, strict=False)
        ),
        readings=readings,
        idle=tuple(name for name in blank.idle if not readings[name]),
        # Their numbers have bounds of their own, which the control link's codec has checked.
        histograms={name: said.histograms.get(name, _NO_DURATION) for name in blank.histograms},
    )


def _queue(known: ChannelStatistics, said: ChannelStatistics) -> ChannelStatistics:
    return ChannelStatistics(
        name=known.name,
        message=known.message,
        overflow=known.overflow,
        capacity=known.capacity,
        waiting=_bounded(said.waiting),
        in_hand=_bounded(said.in_hand),
        high_water=_bounded(said.high_water),
        accepted=_bounded(said.accepted),
        acknowledged=_bounded(said.acknowledged),
        dropped=_bounded(said.dropped),
        replaced=_bounded(said.replaced),
        redelivered=_bounded(said.redelivered),
        poisoned=_bounded(said.poisoned),
    )


def _bounded(number: int) -> int:
    return max(0, min(number, READING_MAX))
