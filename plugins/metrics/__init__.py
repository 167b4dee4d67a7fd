"""Built-in metrics, of images and of sets."""
