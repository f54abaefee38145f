"""The escape suite: hostile actors that try to get a picture, an address or a packet out of their
domain, and a judge that looks whether anything came out. Never part of a pole at work."""
