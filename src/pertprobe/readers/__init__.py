"""Bytes of strangers become plain values: nothing of a file is executed, trusted for a size, or allowed to grow."""
