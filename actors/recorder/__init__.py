"""The security domain's writer: keeps what a camera sends, encrypted, for crime prevention.

Names are imported from the modules themselves: retention needs only ``capability``, and the
command line loads no video library.
"""
