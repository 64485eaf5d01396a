"""The page people read: one self-contained HTML file."""

from pertprobe.report.contents import write_report

__all__ = ["write_report"]
