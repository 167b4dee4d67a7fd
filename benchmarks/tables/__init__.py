"""The tables of the documents, a file for each page: functions that read ``benchmarks/results`` and return Markdown."""
