"""What is known to get out, by name and reason. ``docs/separation.md`` prints the same list, and a
test holds both together."""

from __future__ import annotations

__all__ = ["KNOWN_IN_THREAD_MODE", "STOPPED_WITHOUT_WALLS"]

_CALLED = "another domain calls it, in its own thread and under its own walls"
_QUEUED = "another domain's loop runs what is put into its queue"
_MEMORY = "it is memory, and memory has one owner only where a process has one"
_HELD = "what was prepared before the walls stood needs no system call afterwards"
_COLLECTED = "the collector runs in whichever thread comes to it"
_AT_THE_END = "the main thread calls it when the process ends"

KNOWN_IN_THREAD_MODE: dict[str, str] = {
    "buffer_of_another_domain": "the archive writes its own buffer out, whoever filled it",
    "replaced_function": _CALLED,
    "replaced_method": _CALLED,
    "replaced_method_of_the_statistics": _CALLED,
    "replaced_code": _CALLED,
    "replaced_builtin": _CALLED,
    "replaced_function_of_the_library": _CALLED,
    "replaced_constant": "another domain writes that object, which was overwritten in place",
    "object_that_another_collects": "an object's end runs where it is let go",
    "reference_that_another_drops": "a weak reference's callback runs where the object is let go",
    "cycle_left_to_the_collector": _COLLECTED,
    "hook_of_the_collector": _COLLECTED,
    "call_at_exit": _AT_THE_END,
    "call_at_the_end_of_threads": _AT_THE_END,
    "audit_hook": "an audit hook is called in every thread",
    "pending_call": "the main thread makes the call",
    "signal_handler_by_memory": "the main thread runs the handler",
    "exception_in_another_thread": "the main thread raises it, and ends with its name",
    "queue_of_a_log_listener": "another domain calls the handler when it logs",
    "log_configured_anew": "another domain calls the step when it logs",
    "buffer_of_standard_output": "another thread writes the buffer out, or the end of the "
    "process does",
    "buffer_of_standard_error": "another thread writes the buffer out at its next line",
    "import_finder": "another thread asks the finder when it imports",
    "shared_object_of_two_domains": "another domain calls its own method, which was replaced",
    "replaced_receiving_end": "another domain calls it where it takes a message",
    "hook_for_unraisable_errors": "it is called in the thread in which the error was",
    "call_in_another_loop": _QUEUED,
    "task_of_another_loop": _QUEUED,
    "job_for_the_workers_of_another_domain": _QUEUED,
    "idle_thread_of_the_cache": "a thread of the main side takes what is put where it "
    "looks for work",
    "name_of_the_pole": _MEMORY,
    "command_line_rewritten": _MEMORY,
    "exit_status": "whoever ends the whole process chooses its status: eight bits, once",
    "map_of_a_file_held": _HELD,
    "buffered_file_held": "the end of the process writes the buffer out",
    "thread_held": _HELD,
    "memory_shared_with_a_process": _HELD,
}
"""Attempts that succeed where all domains share one process, and why. In process mode there are
none."""

STOPPED_WITHOUT_WALLS: dict[str, str] = {
    "subclass_of_the_message": "an outlet takes its own type of message and no subclass, in any "
    "isolation: there is no way to send one",
    "address_as_a_number": "the statistics' tables take no number above 9,999, whoever brings it",
}
"""Attempts that fail in the control group too, because something simpler than a wall is in their
way, which no isolation takes away."""
