"""Pages, charts, tables, and the comparison of experiments."""
