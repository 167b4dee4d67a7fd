"""Built-in models, one package each."""
