"""The command line: configuration, models by name, progress."""
