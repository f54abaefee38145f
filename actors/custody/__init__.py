"""Who may have recordings held or disclosed, and what was ordered (7.1(4), 7.2, 7.3(2))."""
