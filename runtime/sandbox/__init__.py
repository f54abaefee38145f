"""The kernel's walls round a domain: made from what it may do, for one thread and its offspring."""

from runtime.sandbox.confinement import (
    KernelSupport,
    Walls,
    confine_thread,
    harden_process,
    hide_command_line,
    kernel_support,
    shared_maps,
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
    "hide_command_line",
    "kernel_support",
    "loop_descriptors",
    "shared_maps",
    "unconfined",
]
