"""Training: the engine, its settings, the order of the data, processes, and the files of a run. Private."""
