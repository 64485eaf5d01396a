"""The works of the suite: each module has `rows()`, run in a process of its own."""
