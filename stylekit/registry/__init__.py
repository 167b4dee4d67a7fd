"""Finding, loading and building plugins and their parts, and recording their origin. Private; does not import torch."""
