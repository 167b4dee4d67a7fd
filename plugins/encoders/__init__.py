"""Built-in encoders, one file each."""
