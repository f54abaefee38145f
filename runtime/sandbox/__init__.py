"""The kernel's walls round a domain: made from what it may do, for one thread and its offspring."""

from runtime.sandbox.confinement import (
    KernelSupport,
    Walls,
    confine_thread,
    harden_process,
    kernel_support,
    unconfined,
)
from runtime.sandbox.loop import LoopDescriptors, loop_descriptors
from runtime.sandbox.permissions import Permissions

__all__ = [
    "KernelSupport",
    "LoopDescriptors",
    "Permissions",
    "Walls",
    "confine_thread",
    "harden_process",
    "kernel_support",
    "loop_descriptors",
    "unconfined",
]
