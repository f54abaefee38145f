"""The ledger's actor, and the kinds of entry that actors report to it."""
