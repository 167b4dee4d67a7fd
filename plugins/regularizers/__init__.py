"""Built-in penalties on discriminators, one idea a file."""
