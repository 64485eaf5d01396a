"""The page people read: one self-contained HTML file."""

from pertprobe.report.page import write_report

__all__ = ["write_report"]
