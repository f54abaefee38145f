"""The capture domain: talks to cameras, only demultiplexes."""
