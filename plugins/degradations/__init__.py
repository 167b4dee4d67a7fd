"""Built-in degradations: how clean pictures become noisy, blurred, small or damaged, one idea a file."""
