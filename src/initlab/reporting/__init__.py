"""The report: from cells to a page."""
