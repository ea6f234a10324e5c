"""From files to batches: data sets, labels, splits, statistics, lint."""
