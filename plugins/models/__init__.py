"""Models that ship, one file each."""
