"""Training: the engine, its settings, the data's order, processes, and what a run leaves behind. Private."""
