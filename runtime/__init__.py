"""The actor runtime: everything that an actor's author needs stands in ``__all__``.

It knows nothing of cameras, and imports nothing of the packages that build on it.
"""

from runtime.actor import Actor, Reading, Settings, inlet, outlet, reading
from runtime.blueprint import Bilingual, Blueprint, Isolation, load_blueprint
from runtime.capability import (
    Authority,
    Capability,
    Facts,
    Models,
    Needs,
    Network,
    Reach,
    Sensing,
    Storage,
)
from runtime.channel import BLOCK, DROP_OLDEST, LATEST, ChannelStatistics, Inlet, Outlet
from runtime.check import Finding, check
from runtime.config import Duration, Size, SourceAddress
from runtime.domain import TABLE, Domain, DomainRule
from runtime.errors import LedgerRefused, LedgerTrouble, SmartpoleError, Unrecoverable
from runtime.facts import BlueprintView, Separation, Wall
from runtime.histogram import Histogram
from runtime.inlets import Inlets, Sender
from runtime.ledger import (
    Digest,
    DigestNumbers,
    Ledger,
    Receipt,
    Word,
    blueprint_words,
    ledger_entry,
)
from runtime.message import Count, Message, PlaceName, Sensitivity, UnixSeconds

__all__ = [
    "BLOCK",
    "DROP_OLDEST",
    "LATEST",
    "TABLE",
    "Actor",
    "Authority",
    "Bilingual",
    "Blueprint",
    "BlueprintView",
    "Capability",
    "ChannelStatistics",
    "Count",
    "Digest",
    "DigestNumbers",
    "Domain",
    "DomainRule",
    "Duration",
    "Facts",
    "Finding",
    "Histogram",
    "Inlet",
    "Inlets",
    "Isolation",
    "Ledger",
    "LedgerRefused",
    "LedgerTrouble",
    "Message",
    "Models",
    "Needs",
    "Network",
    "Outlet",
    "PlaceName",
    "Reach",
    "Reading",
    "Receipt",
    "Sender",
    "Sensing",
    "Sensitivity",
    "Separation",
    "Settings",
    "Size",
    "SmartpoleError",
    "SourceAddress",
    "Storage",
    "UnixSeconds",
    "Unrecoverable",
    "Wall",
    "Word",
    "blueprint_words",
    "check",
    "inlet",
    "ledger_entry",
    "load_blueprint",
    "outlet",
    "reading",
]
