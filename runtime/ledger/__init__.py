"""The ledger: an append-only Merkle log of what happened on a pole, to be verified offline.

Entries are hashed as RFC 6962 and RFC 9162 say, checkpoints are C2SP signed notes. It serves the
guideline's 7.3(1) (every access recorded) and 11.1 (an audit that need not trust the pole).
"""

from runtime.ledger.capability import Ledger
from runtime.ledger.entry import Digest, DigestNumbers, Receipt, Word, ledger_entry
from runtime.ledger.kinds import blueprint_words

__all__ = [
    "Digest",
    "DigestNumbers",
    "Ledger",
    "Receipt",
    "Word",
    "blueprint_words",
    "ledger_entry",
]
