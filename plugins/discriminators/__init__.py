"""Built-in discriminators, one file each."""
