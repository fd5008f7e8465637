"""Image table and network in, features file out."""

from featx.extraction.planning import Plan, plan
from featx.extraction.running import Extraction, extract, open_writer, run

__all__ = ["Extraction", "Plan", "extract", "open_writer", "plan", "run"]
