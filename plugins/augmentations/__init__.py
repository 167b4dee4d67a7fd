"""Built-in augmentations of what a discriminator sees, one idea a file. All have a gradient with respect to the image."""
