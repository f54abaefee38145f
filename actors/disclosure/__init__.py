"""Lawful disclosure, on the manager's computer: the package, and how whoever gets it verifies it.

The pole decides nothing here and runs none of it; what may be disclosed is decided by its custodian
(``actors.custody.disclosure``). Guideline 7.2(1), 7.2(2), 7.3(1).
"""
