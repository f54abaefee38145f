"""The security domain's eraser: nothing recorded grows older than it may (guideline 7.1(3))."""
